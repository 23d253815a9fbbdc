/** `host:port` and `[v6]:port`, as monitors name their targets. */
import { CheckFailure } from "./check-failure.js";

/** Throws a `CheckFailure` for what is neither. `port`: where the text may name a host alone. */
export function addressOf(text: string, port?: number): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):([0-9]{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  if (host !== undefined) return { host, port: Number(match?.[3]) };
  if (port !== undefined && text !== "") return { host: text.replace(/^\[|\]$/g, ""), port };
  throw new CheckFailure("target", "the target is no host:port", "unknown");
}
