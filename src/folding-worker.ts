/** The thread in which Automerge runs: folds changes into archives on request. A document that ends it ends nothing else. */
import os from "node:os";
import { parentPort } from "node:worker_threads";
import { DocumentsCache, foldChanges, type ArchivedDocument, type NamedChange } from "./store/documents.js";

interface FoldRequest {
  readonly id: number;
  readonly snapshot: ArchivedDocument | undefined;
  readonly document: string;
  readonly changes: readonly NamedChange[];
}

// Where cores are short, folding waits and requests do not. Linux takes this for the thread that asks, others for the whole process.
try {
  if (process.platform === "linux") os.setPriority(os.constants.priority.PRIORITY_BELOW_NORMAL);
} catch {
  // A sandbox may forbid it: folding is as important as the rest then.
}

const cache = new DocumentsCache();

parentPort?.on("message", ({ id, snapshot, document, changes }: FoldRequest) => {
  try {
    parentPort?.postMessage({ id, archived: foldChanges(snapshot, document, changes, cache) });
  } catch (error) {
    parentPort?.postMessage({ id, failure: error instanceof Error ? error.message : String(error) });
  }
});
