/** Checks of TCP and TLS ports. */
import type { Socket } from "node:net";
import type { Check } from "../../core/check.js";
import type { Json } from "../../core/change.js";
import { CheckFailure } from "./check-failure.js";
import { addressOf } from "./target-address.js";
import { daysValid, openTcp, openTls, type ProbeSettings, type Stopwatch } from "./target-connection.js";

/** Bytes of an answer that are looked at. */
const ANSWER_BYTES_MAX = 64 * 1024;
const DAYS_VALID_DEFAULT = 14;

type Details = { readonly [name: string]: Json };

/** Connects, and where told so sends and waits for a text. */
export async function probeTcp({ target, options }: Check, settings: ProbeSettings, watch: Stopwatch): Promise<Details> {
  const { host, port } = addressOf(target);
  const socket = await openTcp(host, port, settings, watch);
  try {
    const since = watch.elapsedMs;
    if (options.send !== undefined) socket.write(options.send);
    if (options.expect !== undefined) await awaitText(socket, String(options.expect), watch, since);
    return {};
  } finally {
    socket.on("error", () => undefined).destroy();
  }
}

function awaitText(socket: Socket, text: string, watch: Stopwatch, since: number): Promise<void> {
  return new Promise((found, failed) => {
    let received = Buffer.alloc(0);
    const overdue = setTimeout(() => end(new CheckFailure("timeout", "the expected answer did not come in time")), watch.leftMs);
    const end = (failure: Error | undefined): void => {
      clearTimeout(overdue);
      socket.removeAllListeners();
      if (failure === undefined) found();
      else failed(CheckFailure.of(failure));
    };
    socket.on("data", (chunk: Buffer) => {
      if (received.length === 0) watch.add("first_byte", since);
      received = Buffer.concat([received, chunk]);
      if (received.includes(text)) end(undefined);
      else if (received.length > ANSWER_BYTES_MAX) end(new CheckFailure("answer", "the answer does not contain what is expected"));
    });
    socket.once("error", end);
    socket.once("end", () => end(new CheckFailure("answer", "the connection was closed without the expected answer")));
    socket.once("close", () => end(new CheckFailure("answer", "the connection was closed without the expected answer")));
  });
}

/** The chain must be trusted, fit the name, and last. */
export async function probeTls({ target, options }: Check, settings: ProbeSettings, watch: Stopwatch, nowMs: number): Promise<Details> {
  const { host, port } = addressOf(target);
  const secured = await openTls(await openTcp(host, port, settings, watch), host, options, watch);
  try {
    return { days_valid: daysValid(secured, options.min_days_valid ?? DAYS_VALID_DEFAULT, nowMs), protocol: secured.getProtocol() };
  } finally {
    secured.on("error", () => undefined).destroy();
  }
}
