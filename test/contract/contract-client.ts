/** An HTTP client that holds every answer against what the contract says of all answers, and against `/openapi.json`. */
import { request, type Dispatcher } from "undici";
import type { Description } from "./description.js";

// biome-ignore lint/suspicious/noExplicitAny: a tester looks into answers whose shape is the question
export type Json = any;
export type Headers = Readonly<Record<string, string>>;

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly text: string;
  /** Parsed JSON; undefined if there is none. */
  readonly body: Json;
}

export interface Target {
  readonly base: string;
  readonly region: string;
  readonly key: string | null;
  readonly agent: Dispatcher;
  readonly description: () => Description | undefined;
}

const LEVELS: readonly (string | undefined)[] = ["LOCAL", "LOCAL_QUORUM", "GLOBAL_QUORUM"];

export class Client {
  constructor(private readonly target: Target) {}

  get region(): string {
    return this.target.region;
  }

  get base(): string {
    return this.target.base;
  }

  /** The same region with another key; null: none. */
  as(key: string | null): Client {
    return new Client({ ...this.target, key });
  }

  get(path: string, headers: Headers = {}): Promise<Answer> {
    return this.send("GET", path, undefined, headers);
  }

  head(path: string, headers: Headers = {}): Promise<Answer> {
    return this.send("HEAD", path, undefined, headers);
  }

  post(path: string, body?: Json, headers: Headers = {}): Promise<Answer> {
    return this.send("POST", path, body, headers);
  }

  patch(path: string, body?: Json, headers: Headers = {}): Promise<Answer> {
    return this.send("PATCH", path, body, headers);
  }

  put(path: string, body?: Json, headers: Headers = {}): Promise<Answer> {
    return this.send("PUT", path, body, headers);
  }

  delete(path: string, headers: Headers = {}): Promise<Answer> {
    return this.send("DELETE", path, undefined, headers);
  }

  send(method: string, path: string, body: Json, headers: Headers = {}): Promise<Answer> {
    return this.raw(method, path, body === undefined ? undefined : JSON.stringify(body), body === undefined ? headers : { "content-type": "application/json", ...headers });
  }

  /** Sends the bytes as they are. */
  async raw(method: string, path: string, body: string | Buffer | undefined, headers: Headers = {}): Promise<Answer> {
    const { base, key, agent } = this.target;
    const answer = await request(base + path, {
      method: method as Dispatcher.HttpMethod, dispatcher: agent, body: body ?? null, headersTimeout: 40_000,
      headers: { ...(key === null ? {} : { authorization: `Bearer ${key}` }), ...headers },
    });
    const text = await answer.body.text();
    const flat = Object.fromEntries(Object.entries(answer.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(", ") : value]));
    const isJson = /json/.test(flat["content-type"] ?? "") && text !== "";
    const result: Answer = { status: answer.statusCode, headers: flat, text, body: isJson ? (JSON.parse(text) as Json) : undefined };
    const faults = this.faultsOf(method, path, result);
    if (faults.length > 0) throw new Error(`${method} ${path} → ${result.status}\n  ${faults.join("\n  ")}\n  ${JSON.stringify(flat)}\n  ${text.slice(0, 600)}`);
    return result;
  }

  private faultsOf(method: string, path: string, answer: Answer): string[] {
    const { status, headers, text, body } = answer;
    const faults: string[] = [];
    const expect = (condition: boolean, fault: string): void => {
      if (!condition) faults.push(fault);
    };
    expect((headers["x-request-id"] ?? "") !== "", "no X-Request-Id");
    expect(headers["region"] === this.region, `Region is ${headers["region"]}`);
    if (status >= 400 && method !== "HEAD") {
      expect(/^application\/problem\+json\b/.test(headers["content-type"] ?? ""), `an error of type ${headers["content-type"]}`);
      expect(body?.status === status, "the problem's status is not the answer's");
      expect(/^\/problems\/[a-z-]+$/.test(body?.type ?? ""), "the problem has no type of ours");
      expect(typeof body?.title === "string" && body.title !== "" && typeof body?.detail === "string" && body.detail !== "", "the problem lacks title or detail");
      expect(typeof body?.instance === "string" && body.instance.includes(headers["x-request-id"] ?? "-"), "instance does not hold the request id");
      expect(!/\bat .*\.(ts|js):\d+|node_modules|<html/i.test(text), "a stack trace or HTML in an error");
      if (status === 422 && body?.type === "/problems/invalid") {
        const errors: Json[] = body.errors ?? [];
        expect(errors.length > 0 && errors.every(({ pointer, message }) => /^#(\/.*)?$/.test(pointer) && typeof message === "string" && message !== ""), "a 422 without pointers");
      }
    }
    if (status === 429 || status === 503) expect(/^\d+$/.test(headers["retry-after"] ?? ""), "no Retry-After");
    if (status === 401) expect(/^Bearer/.test(headers["www-authenticate"] ?? ""), "no WWW-Authenticate");
    if (status < 300 && method !== "OPTIONS" && path.startsWith("/v1/") && !path.startsWith("/v1/cluster")) {
      expect(LEVELS.includes(headers["consistency-level"]), `Consistency-Level is ${headers["consistency-level"]}`);
      const token = headers["session-token"] ?? "";
      expect(token !== "" && token.length <= 512, `Session-Token is "${token}"`);
      if (status === 201) expect((headers["location"] ?? "").startsWith("/v1/"), "a 201 without Location");
      if (status === 204) expect(text === "", "a 204 with a body");
      const isSingle = body !== undefined && !("next_cursor" in body);
      if (isSingle && method !== "HEAD") expect(/^"[\x21\x23-\x7e]+"$/.test(headers["etag"] ?? ""), `ETag is ${headers["etag"]}`);
    }
    if (path.startsWith("/v1/") && method !== "HEAD") faults.push(...(this.target.description()?.faultsOf(method, path, answer) ?? []));
    return faults;
  }
}
