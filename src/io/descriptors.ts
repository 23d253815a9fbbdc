/**
 * How many files and sockets this process may have open, and who gets how many of them. LevelDB alone would take a thousand, and
 * where clients take the last one, neither the store nor a peer can be opened.
 */
import { readFileSync } from "node:fs";

/** With fewer a replica does not start: the libraries alone open more at once while they are loaded. */
export const DESCRIPTORS_MIN = 150;
/** With fewer it starts, and says so: little is left for clients. */
export const DESCRIPTORS_FEW = 512;
/** Assumed where the system does not say. */
const UNKNOWN_MAX = 10_240;
/** Standard streams, event loop, logs, the mesh's sockets, what is open for a moment. */
const RESERVED = 64;
const STORE_MIN = 32;
/** LevelDB's own default. */
const STORE_MAX = 1_000;
const CONNECTIONS_MIN = 16;

export interface DescriptorPlan {
  /** Tables that LevelDB keeps open. */
  readonly storeFiles: number;
  /** Connections of clients. */
  readonly connections: number;
}

/** The limit that holds for this process (Node raises the soft one to the hard one when it starts). */
export function descriptorsMax(limitsText: () => string = () => readFileSync("/proc/self/limits", "utf8")): number {
  try {
    const soft = /^Max open files +(\d+|unlimited)/m.exec(limitsText())?.[1];
    return soft === undefined || soft === "unlimited" ? UNKNOWN_MAX : Number(soft);
  } catch {
    return UNKNOWN_MAX;
  }
}

export function descriptorPlan(max: number): DescriptorPlan {
  const storeFiles = Math.min(STORE_MAX, Math.max(STORE_MIN, Math.floor(max / 4)));
  return { storeFiles, connections: Math.max(CONNECTIONS_MIN, max - storeFiles - RESERVED) };
}
