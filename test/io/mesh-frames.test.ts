/** The codec of frames, and the generated code that it stands on. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import t from "tap";
import { checkout as ROOT } from "../../chaos/checkout.js";
import type { Message } from "../../src/core/messages.js";
import { decodeFrame, encodeBatch, type EncodedMessage, encodeMessage } from "../../src/io/frame-codec.js";

const BOUND = 8 * 1024 * 1024;

const vector = fc.dictionary(fc.stringMatching(/^[a-z]{1,8}\.[a-z0-9]{1,3}$/), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), { maxKeys: 5 });
const bytes = fc.uint8Array({ maxLength: 3_000 });
const message: fc.Arbitrary<Message> = fc.oneof(
  fc.array(fc.record({ origin: fc.string(), seq: fc.nat(), body: bytes, checksum: bytes }), { maxLength: 20 }).map((entries): Message => ({ $case: "entries", value: { entries } })),
  fc.record({ vector, consumedBytes: fc.maxSafeNat() }).map((value): Message => ({ $case: "ack", value })),
  vector.map((value): Message => ({ $case: "want", value: { vector: value } })),
  fc.record({ request: fc.maxSafeNat(), vector }).map((value): Message => ({ $case: "vectorAnswer", value })),
);

function frameOf(messages: readonly EncodedMessage[]): Promise<Buffer> {
  return new Promise((resolve) => encodeBatch(messages, resolve));
}

t.test("any batch of messages comes out as it went in, with its sizes", async (t) => {
  const property = fc.asyncProperty(fc.array(message, { maxLength: 12 }), async (messages) => {
    const encoded = messages.map(encodeMessage);
    const decoded = decodeFrame(await frameOf(encoded), BOUND);
    if (decoded.kind !== "messages") throw new Error(decoded.kind);
    return (
      JSON.stringify(decoded.messages.map((one) => one.message)) === JSON.stringify(messages) && decoded.messages.every((one, i) => one.bytes === encoded[i]?.bytes.length)
    );
  });
  const result = await fc.check(property, { numRuns: 300 });
  t.notOk(result.failed, `seed ${result.seed} ${result.failed ? fc.defaultReportMessage(result) : ""}`);
});

t.test("no bytes whatever make the decoder throw", async (t) => {
  const good = await frameOf([encodeMessage({ $case: "want", value: { vector: { "a.1": 5, "b.2": 700 } } }), encodeMessage({ $case: "entries", value: { entries: [{ origin: "a.1", seq: 9, body: new Uint8Array(2_000), checksum: new Uint8Array(16) }] } })]);
  const damaged = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }).map((edits) => {
    const copy = Buffer.from(good);
    for (const [at, value] of edits) copy[at] = value;
    return new Uint8Array(copy);
  });
  const result = fc.check(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), damaged), (input) => ["hello", "messages", "goodbye", "malformed"].includes(decodeFrame(input, BOUND).kind)),
    { numRuns: 3_000 },
  );
  t.notOk(result.failed, `seed ${result.seed}`);
});

t.test("a map keyed by __proto__ reaches no prototype", async (t) => {
  // Want { vector { "__proto__": 5, "toString": 6 } }, by hand.
  const entry = (key: string, value: number): Buffer => Buffer.concat([Buffer.from([0x0a, key.length + 4, 0x0a, key.length]), Buffer.from(key), Buffer.from([0x10, value])]);
  const want = Buffer.concat([entry("__proto__", 5), entry("toString", 6)]);
  const decoded = decodeFrame(await frameOf([{ bytes: Buffer.concat([Buffer.from([0x22, want.length]), want]), bulky: false }]), BOUND);
  if (decoded.kind !== "messages" || decoded.messages[0]?.message.$case !== "want") { t.fail(decoded.kind); return; }
  const { vector: held } = decoded.messages[0].message.value;
  t.equal(Object.getPrototypeOf(held), null);
  t.strictSame(Object.entries(held), [["toString", 6]]);
  t.equal(({} as Record<string, unknown>)["5"], undefined);
});

t.test("the generated code is what buf makes of proto/", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "statusmesh-proto-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const binaries = join(ROOT, "node_modules", ".bin");
  execFileSync(join(binaries, "buf"), ["generate", "--output", folder], { cwd: ROOT, timeout: 150_000, env: { ...process.env, PATH: `${binaries}:${process.env["PATH"]}` } });
  const [made, kept] = [join(folder, "src/io/generated"), join(ROOT, "src/io/generated")];
  const files = (root: string): string[] => readdirSync(root, { recursive: true, withFileTypes: true }).flatMap((entry) => (entry.isFile() ? [join(entry.parentPath, entry.name).slice(root.length + 1)] : [])).sort();
  t.strictSame(files(kept), files(made), "the same files; run `npm run proto`");
  for (const file of files(made)) t.ok(readFileSync(join(made, file)).equals(readFileSync(join(kept, file))), `${file} is up to date; run \`npm run proto\``);
});

t.test("buf finds nothing to complain about in proto/", async (t) => {
  t.doesNotThrow(() => execFileSync(join(ROOT, "node_modules", ".bin", "buf"), ["lint"], { cwd: ROOT, timeout: 150_000 }));
});
