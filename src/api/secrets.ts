/** Secrets of keys: made, written as bearer tokens, stored as scrypt hashes, and compared in constant time. */
import { scrypt, timingSafeEqual, createHash } from "node:crypto";
import { Fault } from "../core/errors.js";
import { apiLimits } from "./api-limits.js";

const COST = 2 ** 14;
const BLOCK = 8;
const PARALLEL = 1;
const HASH_BYTES = 32;
const SALT_BYTES = 16;

export const ROOT_KEY_ID = "root";

const TOKEN = /^smk_([A-Za-z0-9-]{1,64})_([A-Za-z0-9_-]{16,256})$/;

export function bearerToken(id: string, secret: string): string {
  return `smk_${id}_${secret}`;
}

/** Which key a token claims to be of, and the secret that must prove it. A text of another form is the root key's. */
export function parseBearerToken(token: string): { readonly id: string; readonly secret: string } {
  const match = TOKEN.exec(token);
  return { id: match?.[1] ?? ROOT_KEY_ID, secret: match?.[2] ?? token };
}

/**
 * Runs scrypt, a few at a time: each takes a core for tens of milliseconds and a thread that the disk needs too. Those that
 * wait are bounded as well.
 */
export class SecretHasher {
  private running = 0;
  private readonly waiting: (() => void)[] = [];
  /** What an unknown id is compared with, so that it takes as long as a known one. */
  private readonly decoy = formatHash(Buffer.alloc(SALT_BYTES), Buffer.alloc(HASH_BYTES));

  /** The text that is stored: `scrypt$<cost>$<block>$<parallel>$<salt>$<hash>`. Fault `overloaded` if too many wait. */
  async hash(secret: string, salt: Uint8Array): Promise<string | Fault> {
    const derived = await this.derive(secret, salt);
    return derived instanceof Fault ? derived : formatHash(salt, derived);
  }

  /** The root key's hash, equal in every region of a cluster, so that they create equal documents. */
  hashRootKey(secret: string, clusterId: string): Promise<string | Fault> {
    return this.hash(secret, createHash("sha256").update(`statusmesh root key ${clusterId}`).digest().subarray(0, SALT_BYTES));
  }

  /** True if the secret is that of one of the hashes. With none, takes as long and is false. */
  async verify(secret: string, hashes: readonly string[]): Promise<boolean | Fault> {
    let isRight = false;
    for (const stored of hashes.length === 0 ? [this.decoy] : hashes) {
      const parsed = parseHash(stored);
      if (parsed === undefined) continue;
      const derived = await this.derive(secret, parsed.salt);
      if (derived instanceof Fault) return derived;
      if (timingSafeEqual(derived, parsed.hash) && hashes.length > 0) isRight = true;
    }
    return isRight;
  }

  private async derive(secret: string, salt: Uint8Array): Promise<Buffer | Fault> {
    if (this.running >= apiLimits.scryptConcurrentMax) {
      if (this.waiting.length >= apiLimits.scryptWaitingMax) return new Fault("overloaded", "Too many keys are being checked at once.");
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    } else {
      this.running++;
    }
    try {
      return await new Promise<Buffer>((resolve, reject) => {
        scrypt(secret, salt, HASH_BYTES, { N: COST, r: BLOCK, p: PARALLEL }, (error, derived) => (error === null ? resolve(derived) : reject(error)));
      });
    } finally {
      // The place goes to the next one that waits, so that `running` stays as it is.
      const next = this.waiting.shift();
      if (next === undefined) this.running--;
      else next();
    }
  }
}

function formatHash(salt: Uint8Array, derived: Uint8Array): string {
  return ["scrypt", COST, BLOCK, PARALLEL, Buffer.from(salt).toString("base64url"), Buffer.from(derived).toString("base64url")].join("$");
}

function parseHash(text: string): { salt: Buffer; hash: Buffer } | undefined {
  const [scheme, cost, block, parallel, salt = "", hashed = ""] = text.split("$");
  if (scheme !== "scrypt" || Number(cost) !== COST || Number(block) !== BLOCK || Number(parallel) !== PARALLEL) return undefined;
  const parsed = { salt: Buffer.from(salt, "base64url"), hash: Buffer.from(hashed, "base64url") };
  return parsed.salt.length === SALT_BYTES && parsed.hash.length === HASH_BYTES ? parsed : undefined;
}
