/** The thread that folds: as the function does, with less priority than all else, and alive after what it cannot fold. */
import { readdirSync, readFileSync } from "node:fs";
import t from "tap";
import { encodeChange, type Operation } from "../../src/core/change.js";
import { encodeHlc } from "../../src/core/hlc.js";
import { FoldingThread } from "../../src/folding-thread.js";
import { archivedChanges, foldChanges, type NamedChange } from "../../src/store/documents.js";
import { DOCUMENT } from "./random-history.js";

const ORIGIN = "us-east-1.1";

function changeOf(seq: number, operations: readonly Operation[]): NamedChange {
  const hlc = encodeHlc(1_763_696_000_000 + seq, 0, "0000000000aa");
  return { dot: { origin: ORIGIN, seq }, body: encodeChange({ document: DOCUMENT, hlc, region: "us-east", replica: "us-east-1", actor: "key_1", context: seq === 1 ? {} : { [ORIGIN]: seq - 1 }, operations }) };
}

const created = changeOf(1, [{ op: "create", section: "" }, { op: "set", section: "", field: "name", value: "API", was: null }]);
const renamed = changeOf(2, [{ op: "set", section: "", field: "name", value: "Web", was: ["API"] }]);

/** Nice values of this process's threads, by thread. */
function niceOfThreads(): Map<string, number> {
  return new Map(readdirSync("/proc/self/task").map((id) => {
    const stat = readFileSync(`/proc/self/task/${id}/stat`, "utf8");
    // The 19th field (proc_pid_stat(5)); the second, a name in brackets, may have spaces.
    return [id, Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[16])];
  }));
}

t.test("folding on the thread gives what folding gives, and what cannot be folded ends nothing", async (t) => {
  await using thread = new FoldingThread();
  const first = await thread.fold(undefined, DOCUMENT, [created]);
  t.same(first, foldChanges(undefined, DOCUMENT, [created]));
  await t.rejects(thread.fold(first, DOCUMENT, [{ dot: { origin: ORIGIN, seq: 2 }, body: new Uint8Array([1, 2, 3]) }]));
  const second = await thread.fold(first, DOCUMENT, [renamed]);
  t.same([...archivedChanges(second)].map(({ dot }) => dot.seq), [1, 2]);
});

t.test("the thread has less priority than the others", { skip: process.platform === "linux" ? false : "threads have priorities of their own on Linux" }, async (t) => {
  const before = niceOfThreads();
  await using thread = new FoldingThread();
  await thread.fold(undefined, DOCUMENT, [created]);
  const after = niceOfThreads();
  const own = Math.max(...before.values());
  t.same([...after].filter(([id, nice]) => nice > own && !before.has(id)).length, 1, "one new thread has less");
  for (const [id, nice] of before) t.equal(after.get(id) ?? nice, nice, `thread ${id} is as it was`);
});
