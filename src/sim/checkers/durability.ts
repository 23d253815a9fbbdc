/** What a replica tells others that it holds is on its disk: acknowledgements, handshakes, heartbeats, entries, votes and session tokens. */
import type { History } from "../history.js";
import { Findings, type Checker, type Verdict } from "../verdict.js";

export const durability: Checker = {
  name: "durability",
  promise: "A replica tells peers and clients of nothing that its disk does not hold.",
  check({ claims }: History): Verdict {
    const findings = new Findings();
    if (claims === undefined) return findings.verdict();
    findings.checked(claims.compared);
    for (const { replica, atMs, to, in: where, of, told, onDisk } of claims.beyondDisk) {
      findings.violation(durability.promise, `${replica} told ${to} of ${told} of ${of} in ${where} at ${atMs} ms, when its disk held ${onDisk}.`);
    }
    return findings.verdict();
  },
};
