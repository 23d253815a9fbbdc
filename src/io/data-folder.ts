/** Makes folders where state is kept. */
import { mkdir, stat } from "node:fs/promises";
import path from "node:path";

/**
 * As `mkdir` with `recursive`, which must not be used: where a file system refuses new folders by ENOENT (`/proc`), Node's tries
 * for ever and keeps a thread busy. Rejects with the error of the file system.
 */
export async function makeFolder(folder: string, mode = 0o777): Promise<void> {
  try {
    await mkdir(folder, { mode });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "EEXIST" && (await isFolder(folder))) return;
    const parent = path.dirname(folder);
    if (code !== "ENOENT" || parent === folder || (await isFolder(parent))) throw error;
    await makeFolder(parent, mode);
    await makeFolder(folder, mode);
  }
}

function isFolder(folder: string): Promise<boolean> {
  return stat(folder).then((found) => found.isDirectory(), () => false);
}
