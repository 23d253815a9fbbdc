/** What must leave the system leaves it at least once, and every copy carries the same key and says the same, so that a receiver can drop the others. */
import type { History } from "../history.js";
import { canonical, groupBy } from "../history-index.js";
import { Findings, type Checker, type Verdict } from "../verdict.js";

export const effects: Checker = {
  name: "effects",
  promise: "Every effect happens at least once, under one key for removing duplicates, and only where there is a reason for it.",
  check({ effects: found }: History): Verdict {
    const findings = new Findings();
    if (found === undefined) return findings.verdict();
    const expected = new Map(found.expected.map(({ key, because }) => [key, because]));
    const delivered = groupBy(found.delivered, ({ key }) => key);
    for (const [key, because] of expected) {
      findings.checked();
      if (!delivered.has(key)) findings.violation("Every effect happens at least once.", `${key} never arrived, which was due because ${because}.`);
    }
    for (const [key, copies] of delivered) {
      findings.checked(copies.length);
      if (!expected.has(key)) findings.violation("Effects happen only where there is a reason for them.", `${key} arrived ${copies.length} times from ${[...new Set(copies.map(({ replica }) => replica))].join(", ")}, and nothing was due under this key.`);
      const contents = new Set(copies.map(({ content }) => canonical(content)));
      if (contents.size > 1) findings.violation("Copies under one key say the same.", `${key} said ${[...contents].join(" and ")}.`);
    }
    // The same said under two keys cannot be told apart by a receiver.
    for (const [content, copies] of groupBy(found.delivered, (copy) => canonical(copy.content))) {
      const keys = new Set(copies.map(({ key }) => key));
      const due = [...keys].filter((key) => expected.has(key));
      if (keys.size > 1 && due.length < keys.size) findings.violation("One effect has one key.", `${content} arrived under ${[...keys].join(" and ")}.`);
    }
    return findings.verdict();
  },
};
