/** What a fault that has begun is. */
import type { Vector } from "../core/vector.js";
import type { FaultKind } from "./history.js";

/** Ends a fault; said twice, it does nothing. */
export type End = () => void;

export interface Befallen {
  readonly targets: readonly string[];
  readonly end?: End;
  readonly detail?: string;
  /** Of what took a replica's memory at once. */
  readonly held?: Vector;
  /** What it turned out to be, where that is not the kind that was planned; asked when it is over. */
  readonly toldAs?: () => FaultKind | undefined;
}
