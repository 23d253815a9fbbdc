/**
 * Strong entity tags: the digest of the document's changes, and behind a dot a hash of what its representation takes from
 * other documents. Equal wherever the same changes are held. `If-Match` compares the part before the dot: what the document
 * itself has become.
 */
import type { Snapshot } from "./data-plane.js";
import type { DocumentReader } from "./document-reader.js";
import { canonical, keyOf } from "../core/document.js";

/** The tag of a document's representation, without quotes. */
export function entityTag(document: DocumentReader, snapshot: Snapshot): string {
  const borrowed = borrowedText(document, snapshot);
  return borrowed === "" ? document.etag : `${document.etag}.${shortHash(borrowed)}`;
}

/** The part of a tag that names the document's own state. */
export function ownPart(tag: string): string {
  return tag.split(".", 1)[0] ?? tag;
}

/** What the representation shows of other documents: the page's address in links, whether the group still exists, a monitor's verdict, and by which rules of the page it chooses. */
function borrowedText(document: DocumentReader, snapshot: Snapshot): string {
  const shown = shownOfOthers(document, snapshot);
  const rules = document.chosenRules;
  return rules === "" ? shown : `${shown} ${rules}`;
}

function shownOfOthers(document: DocumentReader, snapshot: Snapshot): string {
  const { partition, type } = document;
  if (type === "incident" || type === "maintenance") {
    const url = snapshot.document(keyOf("~", "page", partition))?.value("url");
    return typeof url === "string" ? url : "";
  }
  if (type === "monitor") return borrowedByMonitor(document, snapshot);
  const group = type === "component" ? document.text("group_id") : "";
  return group !== "" && snapshot.document(keyOf(partition, "component-group", group)) === undefined ? "group is gone" : "";
}

/** The verdict, whether its incident is open, and whether what the monitor refers to is still there. */
function borrowedByMonitor(document: DocumentReader, snapshot: Snapshot): string {
  const { partition } = document;
  const verdict = snapshot.document(keyOf(partition, "watch", document.id))?.value("verdict") ?? null;
  const incident = typeof verdict === "object" && verdict !== null && "incident" in verdict ? verdict["incident"] : null;
  const status = typeof incident === "string" ? (snapshot.document(keyOf(partition, "incident", incident))?.value("status") ?? "gone") : "";
  const isGone = (type: string, field: string): boolean => {
    const id = document.text(field);
    return id !== "" && snapshot.document(keyOf(partition, type, id)) === undefined;
  };
  const gone = [isGone("component", "component_id"), isGone("monitor", "depends_on")];
  return verdict === null && !gone.includes(true) ? "" : canonical([verdict, status, gone]);
}

/** FNV-1a, 32 bits, as hex. */
function shortHash(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash.toString(16).padStart(8, "0");
}
