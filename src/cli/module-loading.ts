/** Loads the program where few files may be open. */
import { readdirSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

/** Rooms whose modules only define things, each before those that import it. */
const ROOMS = ["core", "io", "store", "features", "api"];

/**
 * Imports the modules of the program one after the other. A single import opens all the files of its graph at once (some two hundred), and
 * fails where the system does not allow that.
 */
export async function importInTurn(): Promise<void> {
  const root = path.dirname(import.meta.dirname);
  for (const room of ROOMS) {
    const folder = path.join(root, room);
    const modules = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(path.extname(import.meta.filename)));
    for (const name of modules.sort()) await import(pathToFileURL(path.join(folder, name)).href);
  }
}
