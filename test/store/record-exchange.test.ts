/** Numbered records between replicas: who asks whom, when, and how much. */
import t from "tap";
import { limits } from "../../src/core/limits.js";
import type { Message, NumberedRecord, Older, RecordsRequest } from "../../src/core/messages.js";
import type { Vector } from "../../src/core/vector.js";
import { RecordExchange, type RecordSource } from "../../src/store/record-exchange.js";

const turn = () => new Promise((resolve) => setImmediate(resolve));
const record = (number: number): NumberedRecord => ({ origin: "us-east-1.a", number, body: new Uint8Array([1]) });

function exchange() {
  const timers: { readonly ms: number; readonly callback: () => void }[] = [];
  const sent: { readonly peer: string; readonly message: Message }[] = [];
  const warnings: unknown[] = [];
  const kept: NumberedRecord[][] = [];
  const older: string[] = [];
  const state = { queuedBytes: 0, isNew: true, isUp: true, answers: 0, release: Promise.resolve(), wanted: undefined as string | undefined, bytes: 1 };
  const source: RecordSource = {
    cursors: async () => ({ "us-east-1.a": 7 }),
    read: async (after: Vector, bytesMax) => {
      state.answers++;
      await state.release;
      return { records: [{ ...record((after["us-east-1.a"] ?? 0) + 1), body: new Uint8Array(state.bytes).fill(1) }], floor: {}, more: bytesMax < 1 };
    },
    keep: async (records) => {
      kept.push([...records]);
      await state.release;
      return state.isNew;
    },
    olderWanted: (peer) => (peer === "b" ? state.wanted : undefined),
    readOlder: async (after, bytesMax) => ({ records: [{ origin: "us-east-1.a", name: `beyond ${after}`, body: new Uint8Array(Math.min(2, bytesMax)) }], next: "", whole: true }),
    keepOlder: async (peer, { records, next }) => {
      older.push(`${peer} ${records.map(({ name }) => name).join()}`);
      state.wanted = next === "" ? undefined : next;
    },
  };
  const made = new RecordExchange(source, limits, {
    send: (peer, message) => {
      if (state.isUp) sent.push({ peer, message });
      return state.isUp;
    },
    queuedBytes: () => state.queuedBytes,
    after: (ms, callback) => {
      const timer = { ms, callback };
      timers.push(timer);
      return { cancel: () => void (timers.includes(timer) && timers.splice(timers.indexOf(timer), 1)) };
    },
    warn: (event) => warnings.push(event),
    fatal: (error) => {
      throw error;
    },
  });
  made.start();
  /** The timer of this kind that was set first. */
  const elapse = async (isTimeout: boolean) => {
    const index = timers.findIndex(({ ms }) => (ms === limits.recordsTimeoutMs) === isTimeout);
    const [timer] = timers.splice(index, index < 0 ? 0 : 1);
    timer?.callback();
    await turn();
  };
  const asks = () => sent.splice(0).map(({ peer, message }) => ({ peer, request: message.$case === "recordsRequest" ? message.value.request : 0 }));
  return { made, state, sent, kept, older, warnings, asks, next: () => elapse(false), timeOut: () => elapse(true), waits: () => timers.map(({ ms }) => ms) };
}

t.test("peers are asked in turn, each once in its time, with what is held", async (t) => {
  const { made, sent, asks, next, waits } = exchange();
  await next();
  t.same(asks(), [], "nobody is there");
  made.connected("b");
  made.connected("c");
  await next();
  t.same(sent, [{ peer: "b", message: { $case: "recordsRequest", value: { request: 1, after: { "us-east-1.a": 7 }, older: undefined } } }]);
  t.ok(waits().includes(limits.recordsEveryMs / 2));
  asks();
  await next();
  await next();
  await next();
  t.same(asks(), [{ peer: "c", request: 2 }], "while an answer is under way nothing more is asked");
  made.disconnected("b");
  made.connected("b");
  await next();
  await next();
  t.same(asks(), [{ peer: "b", request: 3 }], "what was under way on a link that broke is not waited for");
});

t.test("a peer that has more is asked on as soon as what it sent is durable, and no other meanwhile", async (t) => {
  const { made, state, kept, asks, next } = exchange();
  made.connected("b");
  made.connected("c");
  await next();
  let durable: () => void = () => undefined;
  state.release = new Promise((resolve) => {
    durable = resolve;
  });
  const [{ request } = { request: 0 }] = asks();
  made.received("c", { request, records: [record(1)], floor: {}, more: true, older: undefined });
  made.received("b", { request: request + 1, records: [record(1)], floor: {}, more: true, older: undefined });
  made.received("b", { request, records: [record(8)], floor: {}, more: true, older: undefined });
  made.received("b", { request, records: [record(9)], floor: {}, more: true, older: undefined });
  t.same(kept, [[record(8)]], "answers are taken once, of who was asked");
  await turn();
  t.same(asks(), []);
  durable();
  await turn();
  const [second] = asks();
  t.equal(second?.peer, "b");
  await next();
  await next();
  t.same(asks(), [], "c waits");
  state.isNew = false;
  made.received("b", { request: second?.request ?? 0, records: [], floor: {}, more: true, older: undefined });
  await turn();
  t.same(asks(), [], "nothing new is no reason to go on at once");
  await next();
  await next();
  t.same(asks().map(({ peer }) => peer).sort(), ["b", "c"]);
});

t.test("an answer that does not come is given up; one of another form ends only itself", async (t) => {
  const { made, state, kept, warnings, asks, next, timeOut } = exchange();
  made.connected("b");
  await next();
  const [first] = asks();
  await timeOut();
  made.received("b", { request: first?.request ?? 0, records: [record(8)], floor: {}, more: false, older: undefined });
  t.same(kept, [], "it is too late");
  await next();
  const [second] = asks();
  made.received("b", { request: second?.request ?? 0, records: [record(8)], floor: { "no origin": 1 }, more: false, older: undefined });
  await next();
  const [third] = asks();
  made.received("b", { request: third?.request ?? 0, records: Array.from({ length: limits.recordsPerAnswerMax + 1 }, (_none, index) => record(index)), floor: {}, more: false, older: undefined });
  t.same([kept.length, warnings.length], [0, 2]);
  state.isUp = false;
  await next();
  state.isUp = true;
  await next();
  t.equal(asks().length, 1, "what could not be sent is asked again");
});

t.test("who is asked answers one request at a time, and only where log entries leave room", async (t) => {
  const { made, state, sent } = exchange();
  const request = (after: RecordsRequest["after"]): RecordsRequest => ({ request: 5, after, older: undefined });
  await made.serve("b", request({}));
  t.equal(state.answers, 0, "who is not linked is not answered");
  made.connected("b");
  await Promise.all([made.serve("b", request({ "us-east-1.a": 3 })), made.serve("b", request({}))]);
  t.same(sent.splice(0), [{ peer: "b", message: { $case: "records", value: { request: 5, records: [record(4)], floor: {}, more: false, older: undefined } } }]);
  t.equal(state.answers, 1);
  await made.serve("b", request({ "no origin": 1 }));
  t.same(sent, []);
  state.queuedBytes = limits.linkOutboxBytes / 2;
  await made.serve("b", request({}));
  t.same(sent, [{ peer: "b", message: { $case: "records", value: { request: 5, records: [], floor: {}, more: true, older: undefined } } }]);
});

t.test("what follows from records that are gone is asked of one peer, from position to position, and given after the records", async (t) => {
  const { made, state, sent, kept, older, warnings, next } = exchange();
  const asked = () => sent.splice(0).map(({ peer, message }) => (message.$case === "recordsRequest" ? { peer, request: message.value.request, older: message.value.older } : undefined));
  const answer = (request: number, more: Older | undefined) => ({ request, records: [], floor: {}, more: false, older: more });
  const some = (...names: string[]) => names.map((name) => ({ origin: "us-east-1.a", name, body: new Uint8Array([1]) }));
  made.connected("b");
  made.connected("c");
  state.wanted = "";
  state.isNew = false;
  await next();
  await next();
  const [first, other] = asked();
  t.same([first, other], [{ peer: "b", request: 1, older: { after: "" } }, { peer: "c", request: 2, older: undefined }]);
  made.received("b", answer(1, { records: some("one", "two"), next: "p", whole: true }));
  await turn();
  const [second] = asked();
  t.same([older, second], [["b one,two"], { peer: "b", request: 3, older: { after: "p" } }], "it is asked on at once, although no record was new");
  made.received("b", answer(3, undefined));
  await turn();
  t.same(asked(), [], "an answer without it, as one of an earlier version gives, is no reason to go on at once");
  await next();
  await next();
  const [third] = asked().filter((one) => one?.peer === "b");
  made.received("b", answer(third?.request ?? 0, { records: some("three"), next: "x".repeat(limits.recordPositionMax + 1), whole: true }));
  await turn();
  t.same([older.length, warnings.length], [1, 1], "a position without a bound is refused");
  await next();
  await next();
  const [fourth] = asked().filter((one) => one?.peer === "b");
  made.received("b", answer(fourth?.request ?? 0, { records: some("three"), next: "", whole: true }));
  await turn();
  t.same([older.at(-1), state.wanted, asked()], ["b three", undefined, []]);
  t.equal(kept.length, 3);

  await made.serve("b", { request: 5, after: {}, older: { after: "q" } });
  t.match(sent.splice(0), [{ message: { value: { records: [{ number: 1 }], older: { records: [{ name: "beyond q" }] } } } }]);
  state.bytes = limits.recordsAnswerBytes;
  await made.serve("b", { request: 6, after: {}, older: { after: "q" } });
  t.match(sent.splice(0), [{ message: { value: { records: [{ number: 1 }], older: undefined } } }], "records go first");
  state.bytes = 1;
  state.queuedBytes = limits.linkOutboxBytes / 2;
  await made.serve("b", { request: 7, after: {}, older: { after: "q" } });
  t.match(sent.splice(0), [{ message: { value: { records: [], more: true, older: undefined } } }], "and log entries before all");
});
