/** The owner key of a cluster that `up` runs: given, found, or made at the first start. */
import { chmod, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { makeFolder } from "../io/data-folder.js";
import { systemRandom } from "../io/system-clock.js";
import { CommandFault, EXIT_CONFIG } from "./terminal.js";

export interface RootKey {
  /** Undefined if the replicas have one already and nobody told it. */
  readonly key: string | undefined;
  /** Set if it was made just now: shown once. */
  readonly shown?: string;
  readonly file?: string;
  /** What to tell the operator. */
  readonly sentence: string;
}

/** `given`: from the environment. `isFirstStart`: no replica has run on its folder before. */
export async function rootKeyFor(dataFolder: string, given: string | undefined, isFirstStart: boolean): Promise<RootKey> {
  if (given !== undefined) return { key: given, sentence: "Key: the one that STATUSMESH_ROOT_KEY holds." };
  const file = path.join(dataFolder, "root-key");
  const kept = await readFile(file, "utf8").catch(() => undefined);
  if (kept !== undefined) {
    const key = kept.trim();
    if (key === "") throw new CommandFault([`${file} holds no key.`], EXIT_CONFIG);
    return { key, file, sentence: `Key: the one made at the first start, kept in ${file}` };
  }
  if (!isFirstStart) return { key: undefined, sentence: "Key: the one that was given at the first start." };
  const key = `smr_${Buffer.from(systemRandom.bytes(24)).toString("base64url")}`;
  await makeFolder(dataFolder);
  await writeFile(file, `${key}\n`, { mode: 0o600, flag: "wx" });
  await chmod(file, 0o600);
  return { key, shown: key, file, sentence: `Key (owner; shown now only, and kept in ${file}): ${key}` };
}
