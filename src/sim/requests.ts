/**
 * Requests of clients, as HTTP would carry them: to one replica, with a way there and back that may fail. What `api` does beyond the
 * data plane is done here in short: the status of a fault, handing a losing write to the winner, and passing on GLOBAL_QUORUM where there is no vote.
 */
import type { Json } from "../core/change.js";
import { Fault, isFault, type FaultCode } from "../core/errors.js";
import type { ReplicaNode } from "../node.js";
import type { Command, CommitOptions, Committed, ConsistencyLevel, HistoryEntry, Query } from "../store/data-plane.js";
import type { Rendered } from "../store/route-context.js";
import type { SimulatedProcess } from "./simulated-process.js";
import type { Machine, World } from "./world.js";

export interface Request {
  readonly level: ConsistencyLevel;
  /** Session token. */
  readonly session?: string;
  readonly sessionWaitMs?: number;
  readonly quorumTimeoutMs?: number;
  readonly ifMatch?: string;
  readonly idempotency?: { readonly scope: string; readonly request: string };
  /** A command, a query, or the key of the document whose history is asked for. */
  readonly asks: { readonly command: Command } | { readonly query: Query<Rendered> } | { readonly historyOf: string };
}

export interface Answer {
  readonly status: number;
  readonly body: { readonly [key: string]: Json } | null;
  readonly history?: readonly HistoryEntry[];
  /** Without quotes. */
  readonly etag: string | null;
  readonly token?: string;
  readonly replayed: boolean;
  /** What a fault says became of a write. */
  readonly outcome?: string;
  /** Of reads: the highest level, up to the one asked for, that the replica can have served, by whom it heard from meanwhile. */
  readonly servedLevel?: ConsistencyLevel;
}

const HOP_MS = 0.4;
/** As `api/forwarding.ts`: how often a request is passed on, and what is added to its time for the way. */
const HOPS_MAX = 4;
const WAY_MS = 1_000;

/** As `api/problem.ts`. */
const STATUSES: Readonly<Record<FaultCode, number>> = {
  malformed: 400, unauthorized: 401, forbidden: 403, "not-found": 404, "method-not-allowed": 405, conflict: 409, "precondition-failed": 412, "payload-too-large": 413,
  "unsupported-media-type": 415, invalid: 422, "idempotency-key-reused": 422, "too-many-requests": 429, "session-behind": 503, "quorum-unavailable": 503,
  "local-quorum-unavailable": 503, "read-only": 503, "page-not-held": 503, overloaded: 503, internal: 500,
};

type Reply = Answer | Fault;

export class Requests {
  constructor(
    private readonly world: World,
    private readonly events: { broken(replica: string, error: unknown): void; reached(what: string): void },
  ) {}

  /** Resolves to the answer, or to undefined if none came within `timeoutMs`. */
  async send(replica: string, request: Request, timeoutMs: number): Promise<Answer | undefined> {
    const reply = await this.carry(HOP_MS, replica, timeoutMs, (machine, process) => this.serve(machine, process, request, 0, undefined));
    return isFault(reply) ? answerOf(reply) : reply;
  }

  /** Brings work to a replica, and its result back. */
  private carry<T>(oneWayMs: number | undefined, replica: string, timeoutMs: number, work: (machine: Machine, process: SimulatedProcess) => Promise<T>, backMs: () => number | undefined = () => oneWayMs): Promise<T | undefined> {
    const { queue } = this.world;
    const machine = this.world.machine(replica);
    const { process } = machine;
    return new Promise((resolve) => {
      let over = false;
      const end = (result: T | undefined): void => {
        if (over) return;
        over = true;
        limit.cancel();
        resolve(result);
      };
      const limit = queue.after(timeoutMs, `request to ${replica} times out`, () => end(undefined));
      if (oneWayMs === undefined) return;
      if (process?.alive !== true) {
        queue.after(oneWayMs, `${replica} refuses`, () => end(undefined));
        return;
      }
      process.whenDead(() => queue.after(oneWayMs, `${replica} hangs up`, () => end(undefined)));
      process.after(oneWayMs, `${replica} request`, () => {
        work(machine, process).then((result) => {
          const back = backMs();
          if (back !== undefined && process.alive) queue.after(back, `${replica} answers`, () => end(result));
        }, (error: unknown) => {
          if (process.alive) this.events.broken(replica, error);
          end(undefined);
        });
      });
    });
  }

  /** What the routes of a replica do with a request. */
  private async serve(machine: Machine, process: SimulatedProcess, request: Request, hops: number, operation: string | undefined): Promise<Reply | undefined> {
    const { node } = machine;
    // It does not listen before its store is open.
    if (node === undefined) return undefined;
    if (request.level === "GLOBAL_QUORUM" && !machine.shape.voter && hops === 0) {
      const passed = await this.passOn(machine, request);
      if (passed !== undefined) return passed;
    }
    const sinceMs = this.world.queue.now;
    let isFromElsewhere = false;
    const reply = await run(node, request, operation, async (to, id, timeoutMs) => {
      if (hops >= HOPS_MAX || !process.alive) return undefined;
      this.events.reached("request: handed over to another region");
      const reply = await this.between(machine.shape.replica, to, timeoutMs + WAY_MS, (target, there) => this.serve(target, there, { ...request, quorumTimeoutMs: timeoutMs }, hops + 1, id));
      if (reply === undefined || isFault(reply)) return reply;
      isFromElsewhere = true;
      return committedOf(reply);
    });
    // A replayed answer may be that of a request that was handed over.
    const told = isFromElsewhere || isFault(reply) || reply.replayed || reply.token === undefined ? undefined : node.parseToken(reply.token);
    if (told !== undefined && process.alive) this.world.witness.token(machine.shape.replica, told);
    return "command" in request.asks ? reply : { ...(isFault(reply) ? answerOf(reply) : reply), servedLevel: this.levelServed(machine, request.level, sinceMs) };
  }

  /** A quorum level takes an answer of so many others that they make a majority with the replica. */
  private levelServed({ shape: { replica, region } }: Machine, level: ConsistencyLevel, sinceMs: number): ConsistencyLevel {
    if (level === "LOCAL") return level;
    const others = this.world.membership.filter((member) => member.replica !== replica && (level === "GLOBAL_QUORUM" ? member.voter : member.region === region && member.role === "region"));
    const heard = others.filter((other) => this.world.network.heardMs(other.replica, replica) >= sinceMs).length;
    return heard >= Math.floor((others.length + 1) / 2) ? level : "LOCAL";
  }

  /** To the voters, the one of the own region first. */
  private async passOn(machine: Machine, request: Request): Promise<Reply | undefined> {
    const { replica, region } = machine.shape;
    const voters = this.world.membership.filter((member) => member.voter && member.replica !== replica);
    const isRead = !("command" in request.asks);
    for (const { replica: voter } of [...voters.filter((member) => member.region === region), ...voters.filter((member) => member.region !== region)]) {
      this.events.reached("request: passed on to a voter");
      const reply = await this.between(replica, voter, (request.quorumTimeoutMs ?? 5_000) + WAY_MS, (target, there) => this.serve(target, there, request, 1, undefined));
      if (reply !== undefined) return reply;
      if (!isRead) return new Fault("quorum-unavailable", "The region that the write was passed on to gave no answer.", { outcome: "unknown", retryAfterSeconds: 1 });
    }
    return undefined;
  }

  private between<T>(from: string, to: string, timeoutMs: number, work: (machine: Machine, process: SimulatedProcess) => Promise<T>): Promise<T | undefined> {
    const { network } = this.world;
    return this.carry(network.oneWayMs(from, to), to, timeoutMs, work, () => network.oneWayMs(to, from));
  }
}

async function run(node: ReplicaNode, request: Request, operation: string | undefined, forward: NonNullable<CommitOptions["forward"]>): Promise<Reply> {
  const session = request.session === undefined ? undefined : node.parseToken(request.session);
  const options = {
    level: request.level,
    ...(session === undefined ? {} : { session }),
    ...(request.sessionWaitMs === undefined ? {} : { sessionWaitMs: request.sessionWaitMs }),
    ...(request.quorumTimeoutMs === undefined ? {} : { quorumTimeoutMs: request.quorumTimeoutMs }),
  };
  const { asks } = request;
  if ("command" in asks) {
    const result = await node.commit(asks.command, {
      ...options, actor: "simulation", forward,
      ...(operation === undefined ? {} : { forwardedAs: operation }),
      ...(request.ifMatch === undefined ? {} : { ifMatch: [request.ifMatch] }),
      ...(request.idempotency === undefined ? {} : { idempotency: request.idempotency }),
    });
    return isFault(result) ? result : { status: result.status, body: parsed(result.body), etag: result.etag?.replaceAll('"', "") ?? null, token: result.token, replayed: result.replayed };
  }
  if ("historyOf" in asks) {
    const result = await node.history(asks.historyOf, options);
    return isFault(result) ? result : { status: 200, body: null, history: result.value, etag: null, token: result.token, replayed: false };
  }
  const result = await node.read(asks.query, options);
  return isFault(result) ? result : { status: 200, body: parsed(result.value.body), etag: result.value.etag, token: result.token, replayed: false };
}

function answerOf(fault: Fault): Answer {
  return {
    status: STATUSES[fault.code], body: { code: fault.code }, etag: null, replayed: fault.extra.replayed === true,
    ...(fault.extra.outcome === undefined ? {} : { outcome: fault.extra.outcome }),
  };
}

function committedOf(answer: Answer): Committed {
  return {
    status: answer.status, body: answer.body === null ? null : JSON.stringify(answer.body), location: null, etag: answer.etag === null ? null : `"${answer.etag}"`,
    replayed: answer.replayed, token: answer.token ?? "v1.",
  };
}

function parsed(body: string | null): Answer["body"] {
  return body === null ? null : (JSON.parse(body) as Answer["body"]);
}
