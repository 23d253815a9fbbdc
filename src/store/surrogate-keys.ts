/** The names by which shared caches are told to forget an answer: `page/<page>`, documents (`<page>/<type>/<id>`) and lists (`<page>/<type>`). */
import { listName } from "./dependency-snapshot.js";

/** Of one answer; a header holds no more. */
const KEYS_MAX = 150;

/** Where an answer shows more documents than a header holds, it is named by their lists, which every purge of theirs names too. */
export function surrogateKeys(page: string, dependencies: ReadonlySet<string>): string[] {
  const own = [...dependencies].filter((dependency) => dependency.startsWith(`${page}/`)).sort();
  const keys = own.length <= KEYS_MAX ? own : own.map((key) => (key.split("/").length > 2 ? key.slice(0, key.lastIndexOf("/")) : key));
  return [`page/${page}`, ...new Set(keys)];
}

/** The keys to purge for a change of this document. */
export function purgeKeysOf(document: string): string[] {
  const [partition = "", type = "", id = ""] = document.split("/");
  if (partition !== "~") return [document, listName(partition, type)];
  return type === "page" ? [`page/${id}`] : [];
}
