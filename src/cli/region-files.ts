/** The region files of a folder. */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { addressText, type Config } from "../config.js";
import { CommandFault, EXIT_CONFIG } from "./terminal.js";

export interface RegionFile {
  /** Absolute path. */
  readonly file: string;
  /** Its members, or nothing if it holds no object; `readConfig` says what is wrong with it. */
  readonly values: Readonly<Record<string, unknown>>;
}

/** Every region file of a folder, by name; schemas and `topology.json` are none. Throws a `CommandFault`. */
export function regionFiles(folder: string): readonly RegionFile[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    throw new CommandFault([`There is no folder ${folder} with region files.`], EXIT_CONFIG);
  }
  const files = names.filter((name) => name.endsWith(".json") && !name.endsWith(".schema.json") && name !== "topology.json").sort();
  if (files.length === 0) throw new CommandFault([`${folder} holds no region file.`], EXIT_CONFIG);
  return files.map((name) => {
    const file = path.join(folder, name);
    return { file, values: valuesOf(file) };
  });
}

/** The ids of all replicas that the files name, sorted. */
export function replicasOf(files: readonly RegionFile[]): readonly string[] {
  const ids = new Set<string>();
  for (const { values } of files) {
    if (typeof values["replica"] === "string") ids.add(values["replica"]);
    if (typeof values["peers"] === "object" && values["peers"] !== null) for (const id of Object.keys(values["peers"])) ids.add(id);
  }
  return [...ids].filter((id) => /^[a-z0-9][a-z0-9-]{0,47}$/.test(id)).sort();
}

/** What cannot be right of replicas on one machine: ids, addresses or folders in common. */
export function commonFaults(configs: readonly { readonly file: string; readonly config: Config }[]): readonly string[] {
  const faults: string[] = [];
  const users = new Map<string, string>();
  const use = (what: string, value: string, file: string): void => {
    const other = users.get(`${what} ${value}`);
    if (other !== undefined) faults.push(`${file}: the ${what} ${value} is that of ${other} already.`);
    else users.set(`${what} ${value}`, file);
  };
  for (const { file, config } of configs) {
    use("replica", config.replica, file);
    use("data folder", config.data, file);
    for (const address of [config.http, config.mesh]) if (address.port !== 0) use("address", addressText(address), file);
  }
  return faults;
}

function valuesOf(file: string): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(readFileSync(file, "utf8"));
    return typeof parsed === "object" && parsed !== null ? (parsed as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
