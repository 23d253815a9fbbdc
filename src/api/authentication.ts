/**
 * Who asks: bearer keys against the key documents of this replica.
 *
 * A token is checked by scrypt once; after that its SHA-256 is remembered until the key's document changes. That is told in the
 * turn in which the change became durable, so that a revocation takes effect the moment it arrives, before its writer is answered.
 */
import { hash } from "node:crypto";
import { keyOf } from "../core/document.js";
import { Fault, isFault } from "../core/errors.js";
import type { DataPlane, Snapshot } from "../store/data-plane.js";
import { ROLES, type Caller, type Role } from "../store/route-context.js";
import { apiLimits } from "./api-limits.js";
import { LOCAL_OPTIONS } from "./consistency.js";
import { parseBearerToken, type SecretHasher } from "./secrets.js";

interface KeyView {
  readonly caller: Caller | null;
  readonly hashes: readonly string[];
}

/** A token that was checked, by the document of its key. */
interface Checked {
  readonly caller: Caller | null;
  readonly document: string;
}

const KEYS = keyOf("~", "key", "");

export const BEARER = /^Bearer +([\x21-\x7e]+)$/i;

const unauthorized = (detail: string) => new Fault("unauthorized", detail);

export class Authenticator {
  /** By SHA-256 of the token. */
  private readonly accepted = new Map<string, Checked>();
  private readonly refused = new Map<string, Checked>();
  private readonly underWay = new Map<string, Promise<Caller | Fault>>();
  /** What came last on a connection, with the digest of its token: most connections bring one key all the time. */
  private readonly last = new WeakMap<object, { readonly authorization: string; readonly digest: string }>();
  private readonly lastUsedMs = new Map<string, number>();
  /** Counts what was told of keys: a check that began before is not remembered. */
  private changes = 0;
  private readonly leave: () => void;

  constructor(
    private readonly data: DataPlane,
    private readonly hasher: SecretHasher,
    private readonly now: () => number,
  ) {
    this.leave = data.feed.follow({
      changed: ({ changes }) => {
        for (const { document } of changes) if (document.startsWith(KEYS)) this.forget((checked) => checked.document === document);
      },
      reset: () => this.forget(() => true),
    });
  }

  close(): void {
    this.leave();
  }

  private forget(concerns: (checked: Checked) => boolean): void {
    this.changes++;
    for (const map of [this.accepted, this.refused]) for (const [digest, checked] of map) if (concerns(checked)) map.delete(digest);
  }

  /** `authorization`: the header as it came; `connection`: what it came on. A key that is known is told at once. */
  authenticate(authorization: string | undefined, connection: object): Caller | Promise<Caller | Fault> | Fault {
    const last = this.last.get(connection);
    const before = last?.authorization === authorization && last !== undefined ? this.accepted.get(last.digest)?.caller : null;
    if (before != null) return this.used(before);
    if (authorization === undefined) return unauthorized("A key is needed: Authorization: Bearer <key>.");
    const token = BEARER.exec(authorization)?.[1];
    if (token === undefined || token.length > apiLimits.bearerTokenLengthMax) return unauthorized("The Authorization header is not of the form Bearer <key>.");
    const digest = hash("sha256", token, "base64url");
    this.last.set(connection, { authorization, digest });
    const known = this.accepted.get(digest)?.caller;
    return known == null ? this.checkOnce(token, digest) : this.used(known);
  }

  /** When a key was last used here, ms since the epoch. */
  lastUsed(keyId: string): number | undefined {
    return this.lastUsedMs.get(keyId);
  }

  private used(caller: Caller): Caller {
    this.lastUsedMs.set(caller.id, this.now());
    return caller;
  }

  /** Requests that bring the same unknown token at once share one check. */
  private checkOnce(token: string, digest: string): Promise<Caller | Fault> {
    let check = this.underWay.get(digest);
    if (check === undefined) {
      check = this.check(token, digest).finally(() => this.underWay.delete(digest));
      this.underWay.set(digest, check);
    }
    return check;
  }

  private async check(token: string, digest: string): Promise<Caller | Fault> {
    const wrong = unauthorized("The key is unknown or was revoked.");
    if (this.refused.has(digest)) return wrong;
    const { id, secret } = parseBearerToken(token);
    const document = keyOf("~", "key", id);
    const { changes } = this;
    const result = await this.data.read({ documents: [document], render: (snapshot) => keyView(snapshot, document) }, LOCAL_OPTIONS);
    if (isFault(result)) return result.code === "not-found" ? wrong : result;
    const view = result.value;
    const isRight = await this.hasher.verify(secret, view.hashes);
    if (isRight instanceof Fault) return isRight;
    const caller = isRight ? view.caller : null;
    if (changes === this.changes) remember(caller === null ? this.refused : this.accepted, digest, { caller, document }, caller === null ? apiLimits.refusedTokensMax : apiLimits.verifiedTokensMax);
    return caller === null ? wrong : this.used(caller);
  }
}

/** The least role, and the page if any, that a route asks for; undefined if the caller may. */
export function accessFault(caller: Caller, role: Role, page: string | undefined): Fault | undefined {
  if (page !== undefined && caller.page !== null && caller.page !== page) return new Fault("forbidden", "The key belongs to another page.");
  if (ROLES.indexOf(caller.role) < ROLES.indexOf(role)) return new Fault("forbidden", `This needs a key of role ${role}.`);
  return undefined;
}

function keyView(snapshot: Snapshot, key: string): KeyView {
  const document = snapshot.document(key);
  if (document === undefined) return { caller: null, hashes: [] };
  const role = ROLES.find((known) => known === document.value("role"));
  const page = document.value("page");
  // Two regions that made the same key at the same time gave each caller a secret: both are good until one is replaced.
  const rivals = document.hasConflicts ? document.conflicts().find((conflict) => conflict.field === "hash")?.values.map(({ value }) => value) : undefined;
  const hashes = (rivals ?? [document.value("hash")]).filter((value) => typeof value === "string");
  // A key of one role on a page never becomes one of all pages because its page is missing.
  const caller = role === undefined || (page === null) !== (role === "owner") ? null : { id: document.id, role, page: typeof page === "string" ? page : null };
  return { caller, hashes };
}

/** Adds to a map that holds at most `max`, of which the oldest goes. */
function remember<T>(map: Map<string, T>, key: string, value: T, max: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= max) return;
  const oldest = map.keys().next();
  if (oldest.done !== true) map.delete(oldest.value);
}
