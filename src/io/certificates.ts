/** A cluster's own certificate authority, and one certificate for each replica, for mutual TLS between replicas. */
import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { chmod, open, readFile, rename } from "node:fs/promises";
import path from "node:path";
import {
  BasicConstraintsExtension, ExtendedKeyUsage, ExtendedKeyUsageExtension, KeyUsageFlags, KeyUsagesExtension, PemConverter,
  SubjectAlternativeNameExtension, X509Certificate, X509CertificateGenerator,
} from "@peculiar/x509";
import { makeFolder } from "./data-folder.js";

export interface CertificateFiles {
  readonly replica: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** False if a usable certificate was there already. */
  readonly created: boolean;
}

const CURVE = { name: "ECDSA", namedCurve: "P-256" } as const;
const SIGNING = { name: "ECDSA", hash: "SHA-256" } as const;
const DAY_MS = 24 * 3_600_000;
const CA_DAYS = 3_650;
const REPLICA_DAYS = 825;
/** Begins in the past, for machines whose clocks are behind. */
const BACKDATED_MS = DAY_MS;
/** A certificate that ends sooner is made anew. */
const RENEWED_BEFORE_MS = 30 * DAY_MS;

interface Authority {
  readonly certificate: X509Certificate;
  readonly key: webcrypto.CryptoKey;
  readonly file: string;
}

/**
 * Writes `ca.pem`, `ca-key.pem`, and `<replica>.pem` and `<replica>-key.pem` for each replica into `folder`. An authority that is
 * there is used again, and so are certificates of it that hold for 30 days more. Key files can be read by their owner only.
 * Rejects with a sentence if what is there cannot be used.
 */
export async function makeCertificates(folder: string, replicas: readonly string[], now = Date.now()): Promise<readonly CertificateFiles[]> {
  await makeFolder(folder, 0o700);
  const authority = await authorityIn(folder, now);
  const made: CertificateFiles[] = [];
  for (const replica of [...replicas].sort()) {
    const files = { replica, ca: authority.file, cert: path.join(folder, `${replica}.pem`), key: path.join(folder, `${replica}-key.pem`) };
    const usable = await isUsable(authority, files, now);
    if (!usable) await issue(authority, files, now);
    made.push({ ...files, created: !usable });
  }
  return made;
}

async function authorityIn(folder: string, now: number): Promise<Authority> {
  const file = path.join(folder, "ca.pem");
  const keyFile = path.join(folder, "ca-key.pem");
  const [certificatePem, keyPem] = await Promise.all([readIfThere(file), readIfThere(keyFile)]);
  if (certificatePem !== undefined && keyPem !== undefined) {
    const certificate = new X509Certificate(certificatePem);
    if (certificate.notAfter.getTime() < now + RENEWED_BEFORE_MS) throw new Error(`The authority in ${file} ends on ${certificate.notAfter.toISOString()}: move the folder aside to make a new one.`);
    return { certificate, key: await importKey(keyPem), file };
  }
  if (certificatePem !== undefined || keyPem !== undefined) throw new Error(`${folder} holds only one of ca.pem and ca-key.pem: restore the other, or move the folder aside to make a new authority.`);
  const keys = await webcrypto.subtle.generateKey(CURVE, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: "CN=statusmesh cluster authority",
    keys,
    signingAlgorithm: SIGNING,
    notBefore: new Date(now - BACKDATED_MS),
    notAfter: new Date(now + CA_DAYS * DAY_MS),
    extensions: [new BasicConstraintsExtension(true, 0, true), new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true)],
  });
  // The key first: an authority without its key would be a dead end.
  await writePrivate(keyFile, await exportKey(keys.privateKey));
  await writeWhole(file, `${certificate.toString("pem")}\n`, 0o644);
  return { certificate, key: keys.privateKey, file };
}

async function issue(authority: Authority, files: Omit<CertificateFiles, "created">, now: number): Promise<void> {
  const keys = await webcrypto.subtle.generateKey(CURVE, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.create({
    subject: `CN=${files.replica}`,
    issuer: authority.certificate.subject,
    publicKey: keys.publicKey,
    signingKey: authority.key,
    signingAlgorithm: SIGNING,
    notBefore: new Date(now - BACKDATED_MS),
    notAfter: new Date(Math.min(now + REPLICA_DAYS * DAY_MS, authority.certificate.notAfter.getTime())),
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
      new SubjectAlternativeNameExtension([
        { type: "dns", value: files.replica },
        { type: "dns", value: "localhost" },
        { type: "ip", value: "127.0.0.1" },
        { type: "ip", value: "::1" },
      ]),
    ],
  });
  await writePrivate(files.key, await exportKey(keys.privateKey));
  await writeWhole(files.cert, `${certificate.toString("pem")}\n`, 0o644);
}

async function isUsable(authority: Authority, files: Omit<CertificateFiles, "created">, now: number): Promise<boolean> {
  const [certificatePem, keyPem] = await Promise.all([readIfThere(files.cert), readIfThere(files.key)]);
  if (certificatePem === undefined || keyPem === undefined) return false;
  try {
    const certificate = new X509Certificate(certificatePem);
    const names = certificate.getExtension(SubjectAlternativeNameExtension)?.names.items.map((name) => name.value) ?? [];
    if (!names.includes(files.replica) || certificate.notAfter.getTime() < now + RENEWED_BEFORE_MS) return false;
    if (!(await certificate.verify({ publicKey: authority.certificate.publicKey, date: new Date(now) }))) return false;
    // The two files may be of different runs, if one was interrupted between them.
    const probe = new Uint8Array([1]);
    const signature = await webcrypto.subtle.sign(SIGNING, await importKey(keyPem), probe);
    return await webcrypto.subtle.verify(SIGNING, await certificate.publicKey.export(CURVE, ["verify"]), signature, probe);
  } catch {
    return false;
  }
}

async function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  const [der] = PemConverter.decode(pem);
  if (der === undefined) throw new Error("A key file of the certificates holds no key.");
  return webcrypto.subtle.importKey("pkcs8", der, CURVE, true, ["sign"]);
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return `${PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY")}\n`;
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

async function writePrivate(file: string, text: string): Promise<void> {
  await writeWhole(file, text, 0o600);
}

/** Replaces a file with a whole one; a reader never sees half of it. */
async function writeWhole(file: string, text: string, mode: number): Promise<void> {
  const draft = `${file}.new`;
  const handle = await open(draft, "w", mode);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  // The mode of `open` is only for files that it makes.
  await chmod(draft, mode);
  await rename(draft, file);
}
