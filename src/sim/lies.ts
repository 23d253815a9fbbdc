/**
 * Planted bugs, to test the checkers: each is a change of the product's source that somebody might make. The runner makes it in a copy of
 * the source, never here, and runs seeds until a checker finds it. A bug that is not found within its seeds fails the run.
 */

import { limits } from "../core/limits.js";
import type { SimulatedFault } from "./fault-schedule.js";
import type { Emphasis, SeedPlan } from "./seed-plan.js";

export interface Edit {
  /** Within `src`. */
  readonly file: string;
  /** A piece of the source that is there exactly once: the compiled program is not searched, the source is. */
  readonly find: string;
  readonly replace: string;
}

export interface Lie {
  readonly name: string;
  /** What is wrong, in a sentence. */
  readonly what: string;
  readonly edits: readonly Edit[];
  /** Within how many seeds it must be found. */
  readonly seedsMax: number;
  /** It shows in such runs only, or hardly in others: seeds that do not plan one are passed over, and counted. */
  readonly needs?: (plan: SeedPlan) => boolean;
  /** Its seeds are run with this emphasis: elsewhere what it takes is too rare. */
  readonly emphasis?: Emphasis;
}

// Which runs may show a bug.
const watching = (plan: SeedPlan): boolean => plan.watching !== undefined;
const befalls = (...any: readonly SimulatedFault[]) => ({ faults }: SeedPlan): boolean => faults.some(({ kind }) => any.includes(kind));
/** Not all documents that are in use stay in memory. */
const smallCache = ({ world }: SeedPlan): boolean => world.limits.documentCacheBytes < limits.documentCacheBytes;

const one = (name: string, what: string, file: string, find: string, replace: string, seedsMax = 200): Lie => ({ name, what, edits: [{ file, find, replace }], seedsMax });

export const LIES: readonly Lie[] = [
  one("ack-before-fsync", "A batch counts as durable as soon as it was handed to the disk.", "store/durable-batch.ts",
    "        await this.storage.write(writes);", "        this.storage.write(writes).catch(() => {});"),
  one("vector-joined-too-early", "What is staged counts as durable: it is acknowledged, sent and shown in tokens before it is.", "store/change-log.ts",
    "        this.durableVector = staged;", "        this.durableVector = copyVector(state.vector);", 400),
  one("majority-of-live-peers", "The quorum is counted from the peers that are reachable.", "core/quorum-self.ts",
    "    this.majority = majorityOf(this.members.length);", "    Object.defineProperty(this, \"majority\", { get: () => majorityOf(1 + this.up.size) });"),
  { emphasis: "late-edits", ...one("no-write-back-on-reads", "Voters do not remember what quorum reads have shown.", "core/quorum-acceptor.ts",
    "    if (this.self.bugs.forgetsShown === true) return {};", "    if (document !== \"\") return {};") },
  one("reads-ignore-open-votes", "A quorum read does not ask for votes that are not known to be decided.", "core/quorum-acceptor.ts",
    "    const open = this.slot(document)?.vote != null && this.self.bugs.readsIgnoreVotes !== true;", "    const open = false;"),
  one("lists-ask-for-no-votes", "A quorum list does not ask for votes that are not known to be decided.", "core/quorum-acceptor.ts",
    "    const open = this.self.bugs.readsIgnoreVotes === true ? {} : this.openVotes(scope);", "    const open: Record<string, number> = {};", 400),
  {
    name: "barriers-of-documents-for-lists", what: "A quorum list is made of one confirmed read of each document that is known here, and asks nobody about the list.", seedsMax: 200,
    edits: [{
      file: "store/read.ts", find: "...(query.lists ?? []).map(({ partition, type }) => ",
      replace: "...(query.lists ?? []).flatMap(({ partition, type }) => log.table.list(partition, type).map(({ key }) => ({ document: key }))), ...[].map(({ partition, type }: never) => ",
    }],
  },
  { emphasis: "told-tags", ...one("fast-votes-after-a-promise", "A proposer goes on counting votes of ballot 0 after it has promised a higher one.", "core/quorum-chain.ts",
    "    if ((slot?.promised ?? 0) > 0 && this.self.bugs.fastVotesAfterPromise !== true) return;", "    if (slot === null) return;") },
  { needs: befalls("disk-emptied", "disk-flipped", "disk-torn-write"), ...one("votes-after-an-emptied-disk", "A replica with an empty disk votes at once.", "core/quorum-rejoin.ts",
    "    if (self.members.length === 1 || self.bugs.votesAfterEmptiedDisk === true) return this.vote({});", "    if (self.members.length > 0) return this.vote({});", 1_000) },
  {
    name: "goes-on-with-a-copy", what: "A replica that was put back from a copy goes on as the one that it was: it votes, and uses its numbers again.", seedsMax: 400,
    edits: [
      { file: "store/recovery.ts", find: "    ?? (sentinel.witness === options.witness ? undefined : \"the data folder is a copy of the one that this replica left\")", replace: "" },
      { file: "store/replica-engine.ts", find: " || (theirs[origin] ?? 0) <= (this.log.vector[origin] ?? 0)) continue;", replace: " || origin !== \"\") continue;" },
      { file: "core/quorum-rejoin.ts", find: "    if (seeded.seen > self.position || (message.incarnations[self.replica] ?? 0) > self.options.incarnation) {", replace: "    if (seeded.seen < 0) {" },
    ],
  },
  {
    name: "a-number-used-again", what: "A new incarnation goes on with the log of the old one, so that numbers that were lost are used again.", seedsMax: 400,
    edits: [{ file: "store/recovery.ts", find: "const state: LogState = { ...old, incarnation, origin: originOf(options.replica, incarnation), votes: 0 };", replace: "const state: LogState = { ...old, incarnation, votes: 0 };" }],
  },
  {
    emphasis: "volumes",
    ...one("goes-on-before-it-has-met-anybody", "A replica goes on with its log before its peers have said what they hold of it, so that a volume that was put back gives numbers again.", "store/replica-engine.ts",
      "new Introduction(isNewLog ? [] : this.peerIds, () => {", "new Introduction(isNewLog ? [] : [], () => {"),
  },
  one("a-region-of-one", "A region's majority is one replica, however many it has.", "store/region-quorum.ts",
    "    return Math.floor((this.peers.length + 1) / 2);", "    return Math.min(0, this.peers.length);"),
  one("a-dropped-tombstone", "A deletion empties a document, and does not mark it as deleted.", "core/document.ts",
    "      section.dead = earlierStamp(section.dead, stamp);\n", ""),
  one("last-writer-by-arrival", "Of concurrent values the one that came last is kept, and the others are dropped.", "core/document.ts",
    "        section.registers.set(operation.field, kept === undefined || kept.length === 0 ? [written] : [...kept, written].sort(bySiblingOrder));",
    "        section.registers.set(operation.field, kept === undefined ? [written] : [written]);"),
  { emphasis: "labels", ...one("a-remove-wins", "A remove takes away what was added at the same time, unseen.", "core/document.ts",
    "        const kept = (set.get(operation.element) ?? []).filter((added) => !covers(context, added) && !sameDot(added, dot));", "        const kept: Dot[] = [];") },
  one("a-stale-view", "A view that was kept is shown although its document has changed.", "store/read.ts",
    "      if ((this.parts.log.table.find(document)?.revision ?? -1) === revision) continue;", "      if (revision >= 0 || document !== \"\") continue;"),
  one("no-wait-for-the-session", "A replica that does not hold what a session has seen answers all the same.", "store/session.ts",
    "    const reached = waitMs > 0 && (await this.reach(vector, waitMs));", "    const reached = waitMs >= 0;"),
  {
    name: "answers-are-not-kept", what: "A request with an Idempotency-Key that is repeated takes effect again.", seedsMax: 200,
    edits: [
      { file: "store/commit.ts", find: "    if (kept !== undefined) return kept.request === idempotency.request ? this.replay(kept, command, options) : reused();", replace: "    if (kept !== undefined && kept.request === \"\") return reused();" },
      { file: "store/commit.ts", find: "      if (operationIds !== undefined && log.table.find(command.subject)?.operationIds.includes(operation) === true) return { written: false };", replace: "" },
    ],
  },
  {
    name: "a-condition-is-not-compared-again", what: "A write with If-Match that lost a version is proposed for the next one, whatever the tag is by then.", seedsMax: 200,
    edits: [
      { file: "core/quorum-chain.ts", find: "      } else if (matches(write.ifMatch, etag)) {", replace: "      } else if (write.losses > 0 || matches(write.ifMatch, etag)) {" },
      { file: "core/quorum-chain.ts", find: "    return condition === undefined || (equalVectors(held, built.base) && matches(condition, this.self.host.etag(document)));", replace: "    return condition === undefined || equalVectors(held, built.base);" },
    ],
  },
  { emphasis: "told-tags", ...one("a-refusal-of-what-is-old", "A write whose If-Match does not fit what is held here is refused at once, without a read of the others.", "core/quorum-chain.ts",
    "      } else if (write.fresh) {\n        course.writes.delete(write.operation);\n        this.listener.finished(write, \"precondition\");", "      } else if (write.operation !== \"\") {\n        course.writes.delete(write.operation);\n        this.listener.finished(write, \"precondition\");") },
  { emphasis: "altered-entries", ...one("a-damaged-entry-is-taken", "The checksum of an entry is not compared.", "store/replication.ts",
    "    return Buffer.compare(this.log.checksum(entry.body), entry.checksum) === 0;", "    return entry.body.length > 0;") },
  { needs: watching, ...one("an-incident-named-by-the-clock", "The id of an incident is made of the time at which a region opens it, not of the outage.", "features/monitors/effects.ts",
    "  const id = incidentId(monitor, verdict.outage);", "  const id = derivedId(monitor, \"outage\", snapshot.atMs);") },
  { emphasis: "lonely-outages", ...one("unknown-counts-as-down", "A region that cannot tell is counted among those that see a monitor down.", "features/monitors/verdict.ts",
    "  const counted = opinions.filter(({ region, state }) => state !== \"unknown\" && watches(region));",
    "  const counted = opinions.map((opinion) => (opinion.state === \"unknown\" ? { ...opinion, state: \"down\" as const } : opinion)).filter(({ region }) => watches(region));") },
  { emphasis: "lonely-outages", ...one("one-region-is-enough", "A single region that sees a monitor down decides for all.", "features/monitors/verdict.ts",
    "  const quorum = monitor.quorum ?? Math.floor(voters / 2) + 1;", "  const quorum = monitor.quorum ?? Math.min(voters, 1);") },
  { needs: watching, ...one("a-hand-is-overruled", "The end of an outage makes a component operational although somebody has set it by hand.", "store/derived-incidents.ts",
    "  return component.author(\"status\")?.actor !== SYSTEM_ACTOR;", "  return component.id === \"\";") },
  // Bugs that the simulator found in the product, put back.
  {
    name: "half-a-batch", what: "The first change of a command pushes the document of the second out of the cache, and only half of it is written.", seedsMax: 200, needs: smallCache,
    edits: [
      { file: "store/commit.ts", find: "      for (const { document } of changes) log.table.pin(document);\n", replace: "" },
      { file: "store/commit.ts", find: "        for (const { document } of changes) log.table.unpin(document);\n", replace: "" },
    ],
  },
  { emphasis: "deletions", ...one("an-answer-of-what-is-gone", "The answer to a write is made although the document was deleted before the decision was known, which is a broken invariant.", "store/commit.ts",
    "    const attempt = tryTurn(snapshot, () => render(command, snapshot, log.table.find(command.subject)?.deleted === true));", "    const attempt = tryTurn(snapshot, () => render(command, snapshot));") },
  { emphasis: "handovers", ...one("handed-over-and-called-rejected", "A write that was handed over is called rejected where the other region says so, although what was proposed before may yet be decided.", "store/commit.ts",
    "  return fault.extra.outcome === \"rejected\" && !isFinal(fault) ? new Fault(fault.code, fault.detail, { ...fault.extra, outcome: \"unknown\" }) : fault;", "  return fault;") },
  {
    name: "a-refusal-of-what-may-be-decided", what: "A write is refused on a state that has moved on although a candidate of it is open, which somebody else may carry on.", seedsMax: 200, emphasis: "creations",
    edits: [
      { file: "core/quorum-chain.ts", find: "      } else if (write.proposed > version) {", replace: "      } else if (write.operation === \"\") {" },
      { file: "core/quorum-chain.ts", find: "    if (write.proposed > this.self.host.version(course.document)) {", replace: "    if (write.operation === \"\") {" },
    ],
  },
  { emphasis: "creations", ...one("handed-over-and-refused-there", "A write that was handed over and is refused where it went is called refused, although what was proposed before may have been decided.", "store/commit.ts",
    "      const isRefused = isFault(answer) && isFinal(answer);", "      const isRefused = false;", 400) },
  { emphasis: "creations", ...one("a-refusal-kept-where-it-was-handed-over", "A write that was handed over and is refused where it went has that refusal kept there for its key, although it may have taken effect.", "store/commit.ts",
    "options.forwardedAs === undefined && isFinal(result)", "isFinal(result)") },
  one("votes-told-before-they-are-durable", "Heartbeats tell a count of votes that the disk does not hold yet.", "store/replica-engine.ts",
    "position: this.log.durableVotes,", "position: this.quorum.engine.position,", 1_000),
  { emphasis: "repeated-creations", ...one("a-late-creation-wins", "A creation that was repeated elsewhere and comes late is shown instead of the edits that it does not know.", "core/creation.ts",
    "  if (values.length < 2 || creations.length === 0) return values;", "  if (values.length >= 0) return values;") },
  { emphasis: "late-edits", ...one("adopts-a-candidate-that-does-not-cover-shown", "A reader that settles a version adopts a candidate that does not cover what was shown.", "core/quorum-chain.ts",
    "      const adopted = this.self.bugs.adoptsUncovered === true ? seen[0] : seen.find(({ base }) => dominates(base, shown));", "      const adopted = seen[0];", 300) },
];
