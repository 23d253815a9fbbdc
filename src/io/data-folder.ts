/** Folders where state is kept. */
import { mkdir, open, stat } from "node:fs/promises";
import path from "node:path";

/**
 * As `mkdir` with `recursive`, which must not be used: where a file system refuses new folders by ENOENT (`/proc`), Node's tries
 * for ever and keeps a thread busy. Rejects with the error of the file system.
 */
export async function makeFolder(folder: string, mode = 0o777): Promise<void> {
  if (await isFolder(folder)) return;
  // From the top down, and what another process makes at the same time is as good.
  await makeFolder(path.dirname(folder), mode);
  try {
    await mkdir(folder, { mode });
  } catch (error) {
    if (!(await isFolder(folder))) throw error;
  }
}

function isFolder(folder: string): Promise<boolean> {
  return stat(folder).then((found) => found.isDirectory(), () => false);
}

/** Makes it durable that files were made in a folder, or renamed. Rejects with the error of the file system. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
