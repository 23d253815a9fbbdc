/** Disks that fill up, lose, change, or go back in time. */
import { emptyFolder, flipBits, restoreOldCopy, truncateStore } from "./disk-faults.js";
import { during, fillDisk } from "./faults.js";
import { localServes, noted, quorumServes } from "./hypotheses.js";
import type { Hypothesis, Scenario } from "./scenario.js";

const newIncarnation: Hypothesis = noted("The replica comes back as a new incarnation, so that no number is used twice.", "incarnations", (said) => {
  const [before, after] = String(said).split(" → ");
  return before !== after;
});
const saysWhatToDo: Hypothesis = noted("A damaged store is refused, and the replica says what to do (--rebuild).", "refusal", (said) => String(said).includes("--rebuild"));

export const scenarios: readonly Scenario[] = [
  {
    name: "disk-full", title: "The disk of one region is full for a while.",
    hypotheses: [localServes, quorumServes],
    play: async (stage) => await during(stage, fillDisk, 12_000),
  },
  {
    name: "disk-emptied", title: "A region is killed, and starts with an empty folder.",
    hypotheses: [newIncarnation, localServes],
    play: async (stage) => await during(stage, emptyFolder, 8_000),
  },
  {
    name: "disk-truncated", title: "A region is killed, and every file of its store loses its second half.",
    // It may look like a crash in the middle of a write: then the high-water mark beside the store tells it.
    hypotheses: [newIncarnation, localServes],
    play: async (stage) => await during(stage, truncateStore, 8_000),
  },
  {
    name: "disk-flipped", title: "A region is killed, and bits of its store are flipped.",
    hypotheses: [saysWhatToDo, newIncarnation, localServes],
    play: async (stage) => await during(stage, flipBits, 8_000),
  },
  {
    name: "disk-restored", title: "A region's folder is put back from an old copy.",
    hypotheses: [newIncarnation, localServes],
    play: async (stage) => await during(stage, restoreOldCopy, 8_000),
  },
];
