/**
 * What GLOBAL_QUORUM promises where LOCAL writes hit the same resource too: quorum writes have one order that respects real time;
 * what one quorum read of a resource showed, every later one shows; and a quorum write supersedes all that earlier quorum reads showed.
 */
import { CHAIN } from "../../core/change.js";
import { isWrite, type History, type RecordedEntry } from "../history.js";
import { canonical, HistoryIndex, type LogicalWrite, type ResourceRecord } from "../history-index.js";
import { Findings, tell, type Checker, type Verdict } from "../verdict.js";
import { staleSights, type KnowledgeRules } from "./knowledge.js";
import { touchedResources } from "./linearizability.js";
import { isTelling } from "./register.js";

/** A read leaves all that its replica held of the resource with a majority; a write is decided on top of all that. Lists leave nothing. */
const AT_QUORUM: KnowledgeRules = {
  group: ({ level }) => (level === "GLOBAL_QUORUM" ? level : undefined),
  tells: ({ kind }) => kind === "read" || kind === "conflicts" || isWrite(kind),
  hears: () => true,
  learns: ({ kind }) => kind === "read",
  checks: ({ level, kind }) => level === "GLOBAL_QUORUM" && kind === "read",
};

export const quorumOrder: Checker = {
  name: "quorum-order",
  promise: "Quorum writes are totally ordered; what one quorum read of a resource showed, every later one shows; a quorum write supersedes what was shown before it.",
  check(history: History): Verdict {
    const findings = new Findings();
    const index = new HistoryIndex(history);
    const touched = touchedResources(history);
    const versions = new DecidedVersions(history, findings);
    const { stale, checked, resources } = staleSights(index, AT_QUORUM, touched);
    for (const { operation, resource, ignored, what } of stale) {
      findings.violation(
        "What one GLOBAL_QUORUM read of a resource showed, or a GLOBAL_QUORUM write was acknowledged to have written, every later GLOBAL_QUORUM read shows.",
        `${tell(operation)} shows ${resource} too old: ${what}.${ignored === undefined ? "" : ` It ignores ${ignored.operations.map(tell).join(", ")}.`}`,
        [operation, ...(ignored?.operations ?? [])],
      );
    }
    findings.checked(checked);
    for (const record of index.resources.values()) versions.check(record);
    for (const [name, resource] of resources) for (const [write, known] of resource.pastsOfWrites()) versions.checkPast(name, write, known);
    return findings.verdict();
  },
};

/** The versions that quorums decided, as the final histories tell them. */
class DecidedVersions {
  /** Resource → version → the one change. */
  private readonly changes = new Map<string, Map<number, string>>();
  /** Resource, field and value → the entries that wrote it. */
  private readonly entries = new Map<string, RecordedEntry[]>();

  constructor(
    history: History,
    private readonly findings: Findings,
  ) {
    for (const { replica, documents } of history.final) {
      for (const { resource, history: entries } of documents) {
        const name = `${resource.page}/${resource.type}/${resource.id}`;
        for (const entry of entries ?? []) {
          const { dot, hlc, replica: author, field, to } = entry;
          if (dot?.origin === CHAIN) this.note(name, dot.seq, `${hlc} of ${author}`, replica);
          const key = `${name} ${field} ${canonical(to)}`;
          const others = this.entries.get(key);
          if (others === undefined) this.entries.set(key, [entry]);
          else if (!others.some((other) => other.dot?.origin === dot?.origin && other.dot?.seq === dot?.seq)) others.push(entry);
        }
      }
    }
  }

  private note(name: string, version: number, change: string, replica: string): void {
    const decided = this.changes.get(name) ?? new Map<number, string>();
    this.changes.set(name, decided);
    const other = decided.get(version);
    if (other !== undefined && other !== change) this.findings.violation("A version of a document is decided once.", `Version ${version} of ${name} is ${change} at ${replica}, and ${other} elsewhere.`);
    decided.set(version, other ?? change);
  }

  check({ name, writes }: ResourceRecord): void {
    const decided = writes.flatMap((write) => {
      const version = write.certain && write.operations.every(({ level }) => level === "GLOBAL_QUORUM") ? this.versionOf(name, write) : undefined;
      return version === undefined ? [] : [{ write, version }];
    });
    decided.sort((a, b) => a.write.returnedAtMs - b.write.returnedAtMs);
    const byInvocation = [...decided].sort((a, b) => a.write.invokedAtMs - b.write.invokedAtMs);
    let place = 0;
    let latest: (typeof decided)[number] | undefined;
    for (const { write, version } of byInvocation) {
      for (let earlier = decided[place]; earlier !== undefined && earlier.write.returnedAtMs < write.invokedAtMs; earlier = decided[++place]) if (latest === undefined || earlier.version > latest.version) latest = earlier;
      this.findings.checked();
      if (latest === undefined || latest.version < version) continue;
      this.findings.violation(
        "GLOBAL_QUORUM writes of a document have one order, which respects real time.",
        `${write.operations.map(tell).join(", ")} became version ${version} of ${name}, although ${latest.write.operations.map(tell).join(", ")}, answered before it was asked for, became version ${latest.version}.`,
        [...write.operations, ...latest.write.operations],
      );
    }
  }

  /** A decided write stands on what was known before it was asked for. `known`: those writes. */
  checkPast(name: string, write: LogicalWrite, known: readonly LogicalWrite[]): void {
    if (write.operations.some(({ level }) => level !== "GLOBAL_QUORUM")) return;
    for (const { dot, context, hlc } of this.entriesOf(name, write)) {
      if (dot?.origin !== CHAIN || context === undefined) continue;
      for (const earlier of known) {
        const dots = this.entriesOf(name, earlier).flatMap((entry) => entry.dot ?? []);
        this.findings.checked();
        if (dots.length === 0 || dots.some(({ origin, seq }) => (context[origin] ?? 0) >= seq)) continue;
        this.findings.violation(
          "A GLOBAL_QUORUM write of a document supersedes all that GLOBAL_QUORUM operations before it showed.",
          `${write.operations.map(tell).join(", ")} became version ${dot.seq} of ${name} (${hlc}) without having seen ${earlier.operations.map(tell).join(", ")}.`,
          [...write.operations, ...earlier.operations],
        );
        return;
      }
    }
  }

  private entriesOf(name: string, write: LogicalWrite): readonly RecordedEntry[] {
    for (const [field, value] of Object.entries(write.written.fields ?? {})) {
      const entries = isTelling(value) ? this.entries.get(`${name} ${field} ${canonical(value)}`) : undefined;
      if (entries !== undefined) return entries;
    }
    return [];
  }

  private versionOf(name: string, write: LogicalWrite): number | undefined {
    return this.entriesOf(name, write).find(({ dot }) => dot?.origin === CHAIN)?.dot?.seq;
  }
}
