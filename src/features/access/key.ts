/** A key: its schemas, who may see and change it, and how it is shown. Its secret is stored as a hash only. */
import { Type, type Static } from "typebox";
import { Fault } from "../../core/errors.js";
import type { Snapshot } from "../../store/data-plane.js";
import type { DocumentReader, Draft } from "../../store/document-reader.js";
import { invalid, lookUp, pageKey, type Resource } from "../../store/resource.js";
import { closed, Name } from "../../store/resource-schemas.js";
import { ROLES, type Caller, type Role } from "../../store/route-context.js";
import { nullable } from "../../store/route-schemas.js";

const RoleName = Type.Enum([...ROLES]);
const PageOfKey = nullable(Type.String({ minLength: 1, maxLength: 64 }));

export const KeyCreate = closed({ name: Name, role: RoleName, page: Type.Optional(PageOfKey) });
export type KeyCreate = Static<typeof KeyCreate>;
export const KeyPatch = closed({ name: Type.Optional(Name), role: Type.Optional(RoleName), page: Type.Optional(PageOfKey) });
export type KeyPatch = Static<typeof KeyPatch>;

const properties = {
  id: Type.String(), name: Type.String(), role: RoleName, page: nullable(Type.String()), created_at: Type.String(),
  last_used_at: nullable(Type.String({ description: "On the replica that answers, since it started." })),
};
export const KeyResource = Type.Object(properties);
export const KeyWithSecret = Type.Object({ ...properties, secret: Type.Optional(Type.String({ description: "The bearer token, in the first answer only." })) });

export function roleOf(document: DocumentReader): Role {
  return ROLES.find((role) => role === document.value("role")) ?? "viewer";
}

export function pageOf(document: DocumentReader): string | null {
  const page = document.value("page");
  return typeof page === "string" ? page : null;
}

/** An owner manages all keys, an admin those of its page. */
export function mayManage(caller: Caller, page: string | null, role: Role): boolean {
  return caller.role === "owner" || (caller.role === "admin" && caller.page !== null && caller.page === page && role !== "owner");
}

export function forbidden(): Fault {
  return new Fault("forbidden", "This key may not manage that one.");
}

/** Writes name, role and page. 403 if the caller may not give them, 422 if they do not go together. */
export function writeKey(draft: Draft, document: DocumentReader | undefined, snapshot: Snapshot, caller: Caller, fields: KeyPatch): Fault | undefined {
  const role = fields.role ?? (document === undefined ? "viewer" : roleOf(document));
  const page = fields.page === undefined ? (document === undefined ? null : pageOf(document)) : fields.page;
  if (!mayManage(caller, page, role)) return forbidden();
  if (role === "owner" && page !== null) return invalid("#/page", "an owner is for all pages: its page is null");
  if (role !== "owner" && page === null) return invalid("#/page", `a key with the role ${role} needs a page`);
  if (page !== null && lookUp(snapshot, pageKey(page)) === undefined && (fields.page !== undefined || document === undefined)) return invalid("#/page", "there is no such page");
  if (fields.name !== undefined) draft.set("name", fields.name);
  if (fields.role !== undefined) draft.set("role", role);
  if (fields.page !== undefined) draft.set("page", page);
  return undefined;
}

/** True if no other living key is an owner's. */
export function isLastOwner(snapshot: Snapshot, document: DocumentReader): boolean {
  if (roleOf(document) !== "owner") return false;
  return !snapshot.list("~", "key").some(({ key }) => {
    const other = key === document.key ? undefined : snapshot.document(key);
    return other !== undefined && roleOf(other) === "owner";
  });
}

/** A key as it is returned, without its secret. */
export function presentKey(document: DocumentReader, lastUsedAt: string | null): Resource {
  return { id: document.id, name: document.text("name"), role: roleOf(document), page: pageOf(document), created_at: document.createdAt, last_used_at: lastUsedAt };
}
