/** Queues, caches and memory stay within their limits at every sample. */
import type { History, Sample } from "../history.js";
import { groupBy } from "../history-index.js";
import { Findings, type Checker, type Verdict } from "../verdict.js";

export const bounds: Checker = {
  name: "bounds",
  promise: "Every queue, cache and size stays within its limit.",
  check({ samples = [] }: History): Verdict {
    const findings = new Findings();
    findings.checked(samples.length);
    for (const measured of groupBy(samples, ({ replica, name }) => `${name} at ${replica}`).values()) {
      const over = measured.filter(({ value, limit }) => !(value <= limit));
      const worst = over.reduce<Sample | undefined>((most, sample) => (most === undefined || sample.value - sample.limit > most.value - most.limit ? sample : most), undefined);
      if (worst !== undefined) findings.violation(`${worst.name} is at most ${worst.limit}.`, `At ${worst.replica} it was ${worst.value} at ${worst.atMs} ms, and over its limit in ${over.length} of ${measured.length} samples.`);
    }
    return findings.verdict();
  },
};
