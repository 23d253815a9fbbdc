/**
 * Brings kept answers to requests with an Idempotency-Key to a replica that could not get them from the logs: they are no documents,
 * so anti-entropy does not compare them. All that a peer keeps is copied before its vector is taken over.
 */
import { isIdempotencyRecord } from "../core/change.js";
import { isHlc } from "../core/hlc.js";
import type { Limits } from "../core/limits.js";
import type { Answers, AnswersRequest, Message } from "../core/messages.js";
import type { Storage, Timer } from "../core/ports.js";
import type { ChangeLog } from "./change-log.js";
import { keyspace } from "./keyspace.js";

export interface AnswerTransferPorts {
  send(peer: string, message: Message): boolean;
  after(ms: number, callback: () => void): Timer;
  wall(): number;
}

export class AnswerTransfer {
  private requests = 0;
  private readonly waiting = new Map<number, { readonly peer: string; readonly resolve: (answers: Answers | undefined) => void }>();

  constructor(
    private readonly storage: Storage,
    private readonly log: ChangeLog,
    private readonly limits: Limits,
    private readonly ports: AnswerTransferPorts,
  ) {}

  /** Copies what the peer keeps; true once all of it is durable here, false if the peer did not give it all. */
  async copy(peer: string): Promise<boolean> {
    let after = "";
    do {
      const answers = await this.ask(peer, after);
      if (answers === undefined || (answers.next !== "" && answers.next <= after)) return false;
      this.keep(answers);
      await this.log.batch.flushed();
      after = answers.next;
    } while (after !== "");
    return true;
  }

  private ask(peer: string, after: string): Promise<Answers | undefined> {
    const request = ++this.requests;
    return new Promise((resolve) => {
      const timer = this.ports.after(this.limits.answersTimeoutMs, () => settle(undefined));
      const settle = (answers: Answers | undefined): void => {
        timer.cancel();
        this.waiting.delete(request);
        resolve(answers);
      };
      this.waiting.set(request, { peer, resolve: settle });
      if (!this.ports.send(peer, { $case: "answersRequest", value: { request, after } })) settle(undefined);
    });
  }

  received(peer: string, answers: Answers): void {
    const waiting = this.waiting.get(answers.request);
    if (waiting?.peer === peer) waiting.resolve(answers);
  }

  disconnected(peer: string): void {
    for (const waiting of [...this.waiting.values()]) if (waiting.peer === peer) waiting.resolve(undefined);
  }

  /** What is no answer, or too old to be given again, is passed over. */
  private keep({ scopes, hlcs, records }: Answers): void {
    const since = this.ports.wall() - this.limits.idempotencyKeptMs;
    for (const [index, text] of records.entries()) {
      const hlc = hlcs[index];
      const record = text.length <= this.limits.changeBytesMax ? parsed(text) : undefined;
      if (!isIdempotencyRecord(record) || record.scope !== scopes[index] || !isHlc(hlc)) continue;
      const key = keyspace.idempotency(record.scope, hlc);
      if (keyspace.msOfIdempotency(key) >= since) this.log.batch.put(key, Buffer.from(text));
    }
  }

  /** Answers a peer that asks, with as many as fit a message. */
  async serve(peer: string, { request, after }: AnswersRequest): Promise<void> {
    const { from, to } = keyspace.idempotencies;
    const answers: Answers = { request, scopes: [], hlcs: [], records: [], next: "" };
    let bytes = 0;
    for await (const page of this.storage.scan({ from: after > from ? `${after}!` : from, to, limit: this.limits.answersPerMessage })) {
      for (const [key, value] of page) {
        const { scope, hlc } = keyspace.partsOfIdempotency(key);
        answers.scopes.push(scope);
        answers.hlcs.push(hlc);
        answers.records.push(Buffer.from(value.buffer, value.byteOffset, value.length).toString());
        bytes += value.length;
        if (bytes < this.limits.entriesMessageBytes && answers.records.length < this.limits.answersPerMessage) continue;
        this.ports.send(peer, { $case: "answers", value: { ...answers, next: key } });
        return;
      }
    }
    this.ports.send(peer, { $case: "answers", value: answers });
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
