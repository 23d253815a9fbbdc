/** Static copies of pages on disk: each file is whole at every moment, and the old one stays until the new one is. */
import { readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { makeFolder } from "./data-folder.js";

interface NamedFile {
  /** Within the folder, with slashes. */
  readonly name: string;
  readonly body: Uint8Array;
}

/**
 * Writes all files beside those that are there, then puts them in place in their order; what is equal stays untouched, and what is of no concern too. `whole`: folders
 * of which at the end nothing is left but what is among the files.
 * Rejects with the error of the file system; then what was there is there.
 */
export async function writeCopy(folder: string, files: readonly NamedFile[], whole: readonly string[] = []): Promise<void> {
  const staged: string[] = [];
  try {
    for (const { name, body } of files) {
      const file = path.join(folder, ...name.split("/"));
      if ((await readFile(file).catch(() => undefined))?.equals(body) === true) continue;
      await makeFolder(path.dirname(file));
      staged.push(file);
      await writeFile(`${file}.new`, body);
    }
    for (const file of staged) await rename(`${file}.new`, file);
    for (const name of whole) {
      const kept = new Set(files.filter((file) => file.name.startsWith(`${name}/`)).map((file) => file.name.split("/")[1]));
      for (const entry of await readdir(path.join(folder, name)).catch(ifAbsent<string[]>([]))) if (!kept.has(entry)) await rm(path.join(folder, name, entry), { recursive: true, force: true });
    }
  } catch (error) {
    for (const file of staged) await rm(`${file}.new`, { force: true }).catch(() => undefined);
    throw error;
  }
}

/** A folder with a folder for each page. */
export class CopyFolder {
  /** `index`: the file whose time is that of a copy. `whole`: as for `writeCopy`. */
  constructor(
    private readonly folder: string,
    private readonly index: string,
    private readonly whole: readonly string[] = [],
  ) {}

  async pages(): Promise<readonly string[]> {
    const entries = await readdir(this.folder, { withFileTypes: true }).catch(ifAbsent([]));
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  }

  async writtenAtMs(page: string): Promise<number | undefined> {
    return (await stat(path.join(this.folder, page, this.index)).catch(ifAbsent(undefined)))?.mtimeMs;
  }

  write(page: string, files: readonly NamedFile[]): Promise<void> {
    return writeCopy(path.join(this.folder, page), files, this.whole);
  }

  /** The page itself first. */
  async remove(page: string): Promise<void> {
    await rm(path.join(this.folder, page, this.index), { force: true });
    await rm(path.join(this.folder, page), { recursive: true, force: true });
  }
}

function ifAbsent<Instead>(instead: Instead): (error: unknown) => Instead {
  return (error) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return instead;
    throw error;
  };
}
