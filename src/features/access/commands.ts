/** What may be done to keys. `hash`: what is stored of the secret; `token`: what the caller is shown once. */
import { keyOf } from "../../core/document.js";
import { Fault } from "../../core/errors.js";
import type { Command } from "../../store/data-plane.js";
import { Draft } from "../../store/document-reader.js";
import { changeOf, deleteCommand, find, idTaken, patchCommand, present, SYSTEM } from "../../store/resource.js";
import type { Caller } from "../../store/route-context.js";
import { forbidden, isLastOwner, mayManage, pageOf, presentKey, roleOf, writeKey, type KeyCreate, type KeyPatch } from "./key.js";

const TYPE = "key";

export interface NewSecret {
  readonly hash: string;
  readonly token: string;
}

export function createKey(id: string, secret: NewSecret, caller: Caller, request: KeyCreate): Command {
  const key = keyOf(SYSTEM, TYPE, id);
  return {
    name: "key.create", subject: key,
    plan(snapshot) {
      if (snapshot.taken(key)) return idTaken(TYPE);
      const draft = new Draft(undefined).create();
      const fault = writeKey(draft, undefined, snapshot, caller, request);
      return fault ?? { changes: changeOf(key, draft.set("hash", secret.hash)) };
    },
    answer: (snapshot) => ({
      status: 201, location: `/v1/keys/${id}`, etagOf: key, body: present(snapshot, key, (reader) => presentKey(reader, null)), secret: { secret: secret.token },
    }),
  };
}

/** 409 if nobody would be left who may do everything. */
function lastOwner(): Fault {
  return new Fault("conflict", "This is the last owner key: create another one first.");
}

export function patchKey(id: string, caller: Caller, patch: KeyPatch, lastUsedAt: string | null): Command {
  return patchCommand("key.patch", SYSTEM, TYPE, id, (draft, document, snapshot) => {
    if (!mayManage(caller, pageOf(document), roleOf(document))) return forbidden();
    if (patch.role !== undefined && patch.role !== "owner" && isLastOwner(snapshot, document)) return lastOwner();
    return writeKey(draft, document, snapshot, caller, patch);
  }, (reader) => presentKey(reader, lastUsedAt));
}

/** Gives a key a new secret; the old one is refused from then on. */
export function rotateKey(id: string, secret: NewSecret, caller: Caller, lastUsedAt: string | null): Command {
  const command = patchCommand("key.rotate", SYSTEM, TYPE, id, (draft, document) => {
    if (!mayManage(caller, pageOf(document), roleOf(document))) return forbidden();
    draft.set("hash", secret.hash);
    return undefined;
  }, (reader) => presentKey(reader, lastUsedAt));
  return { ...command, answer: (snapshot) => ({ ...command.answer(snapshot), secret: { secret: secret.token } }) };
}

/** Revokes a key for good. */
export function revokeKey(id: string, caller: Caller): Command {
  const command = deleteCommand("key.revoke", SYSTEM, TYPE, id, (document, snapshot) => (isLastOwner(snapshot, document) ? lastOwner() : []));
  return {
    ...command,
    plan(snapshot) {
      const document = find(snapshot, SYSTEM, TYPE, id);
      if (document instanceof Fault) return document;
      return mayManage(caller, pageOf(document), roleOf(document)) ? command.plan(snapshot) : forbidden();
    },
  };
}
