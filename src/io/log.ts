/** JSON lines on stdout. Secrets never reach a line: what may hold one is replaced before it is written. */
import { pino, type DestinationStream, type Logger } from "pino";

export type { Logger } from "pino";

const SECRET_MEMBERS = ["authorization", "Authorization", "secret", "key", "rootKey", "root_key", "cookie", "password"];

/** Paths of members that are never written, at the top of a line, in its objects, and in requests that it shows. */
const REDACTED = SECRET_MEMBERS.flatMap((name) => [
  name,
  `*.${name}`,
  `*.*.${name}`,
  ...(["headers", "req.headers", "request.headers", "res.headers"] as const).map((at) => `${at}.${name}`),
]);

export interface LogOptions {
  readonly level: string;
  /** Put on every line. */
  readonly replica: string;
  readonly region: string;
  /** Default: stdout, written synchronously, so that the last line before an exit is there. */
  readonly destination?: DestinationStream;
}

export function createLog(options: LogOptions): Logger {
  return pino(
    {
      level: options.level,
      base: { replica: options.replica, region: options.region },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: REDACTED, censor: "[redacted]" },
    },
    options.destination ?? pino.destination({ dest: 1, sync: true }),
  );
}
