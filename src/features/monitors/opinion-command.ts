/** How a region writes its opinion: only when it changes, into a section that only this region writes. */
import { keyOf } from "../../core/document.js";
import type { Command } from "../../store/data-plane.js";
import { Draft } from "../../store/document-reader.js";
import { changeOf } from "../../store/resource.js";
import { MONITOR } from "./monitor.js";
import { opinionsOf, sectionOf, watchKey, type Opinion } from "./opinion.js";

/** Changes of mind that an opinion remembers, for the damping of flapping. */
const CHANGES_KEPT = 12;

/** Writes an opinion if its state is another than the one held. Nothing happens where the monitor is gone. */
export function opinionCommand(page: string, id: string, region: string, opinion: Omit<Opinion, "changes">): Command {
  const key = watchKey(page, id);
  return {
    name: "monitor.opinion", subject: key,
    plan(snapshot) {
      const watch = snapshot.document(key);
      if (snapshot.document(keyOf(page, MONITOR, id)) === undefined || (watch === undefined && snapshot.taken(key))) return { changes: [] };
      const before = opinionsOf(watch).find((held) => held.region === region);
      if (before?.state === opinion.state) return { changes: [] };
      const draft = new Draft(watch);
      if (watch === undefined) draft.create();
      const section = sectionOf(region);
      if (watch?.section(section) === undefined) draft.create(section);
      const changes = before === undefined ? [] : [...before.changes, opinion.since].slice(-CHANGES_KEPT);
      const { error, latency_ms, phases } = opinion.evidence;
      const evidence = { error: error === null ? null : { ...error }, latency_ms, phases: { ...phases } };
      draft.set("opinion", { state: opinion.state, since: opinion.since, checkedAt: opinion.checkedAt, changes, evidence }, section);
      return { changes: changeOf(key, draft) };
    },
    answer: () => ({ status: 204, body: null }),
  };
}
