/** Folds on a thread of its own, so that neither a large document nor one that ends the WASM module is felt by the API. */
import { Worker } from "node:worker_threads";
import type { ArchivedDocument, NamedChange } from "./store/documents.js";

interface Waiting {
  readonly document: string;
  resolve(archived: ArchivedDocument): void;
  reject(error: Error): void;
}

type FoldAnswer = { readonly id: number; readonly archived: ArchivedDocument } | { readonly id: number; readonly failure: string };

export class FoldingThread implements AsyncDisposable {
  private worker: Worker | undefined;
  private readonly waiting = new Map<number, Waiting>();
  private count = 0;

  /** As `foldChanges`. Rejects if the document cannot be folded, or ended the thread; the next call starts a new one. */
  fold(snapshot: ArchivedDocument | undefined, document: string, changes: readonly NamedChange[]): Promise<ArchivedDocument> {
    const id = ++this.count;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { document, resolve, reject });
      this.thread().postMessage({ id, snapshot, document, changes });
    });
  }

  private thread(): Worker {
    if (this.worker !== undefined) return this.worker;
    const worker = new Worker(new URL("./folding-worker.js", import.meta.url));
    worker.unref();
    worker.on("message", (answer: FoldAnswer) => {
      const waiting = this.waiting.get(answer.id);
      this.waiting.delete(answer.id);
      if ("archived" in answer) waiting?.resolve(answer.archived);
      else waiting?.reject(new Error(answer.failure));
    });
    worker.on("error", (error) => this.ended(worker, error));
    worker.on("exit", (code) => this.ended(worker, new Error(`the folding thread ended with code ${code}`)));
    this.worker = worker;
    return worker;
  }

  private ended(worker: Worker, error: Error): void {
    if (this.worker !== worker) return;
    this.worker = undefined;
    for (const { document, reject } of this.waiting.values()) reject(new Error(`${document}: ${error.message}`, { cause: error }));
    this.waiting.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { worker } = this;
    this.worker = undefined;
    await worker?.terminate();
    for (const { reject } of this.waiting.values()) reject(new Error("the replica is closing"));
    this.waiting.clear();
  }
}
