/** What caches were told of changes, in the file `PURGED` of a data folder. Replaced whole; a power cut may leave an older one, or none that can be read. */
import { readFile, rename, writeFile } from "node:fs/promises";
import path from "node:path";

export class PurgeMarksFile {
  private readonly file: string;

  constructor(dataFolder: string) {
    this.file = path.join(dataFolder, "PURGED");
  }

  async read(): Promise<string | undefined> {
    try {
      return await readFile(this.file, "utf8");
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      throw error;
    }
  }

  async write(text: string): Promise<void> {
    await writeFile(`${this.file}.new`, text);
    await rename(`${this.file}.new`, this.file);
  }
}
