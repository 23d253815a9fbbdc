import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm, stat, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { connect, createServer } from "node:tls";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { test } from "tap";
import { makeCertificates } from "../../src/io/certificates.js";

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), "statusmesh-certificates-"));
  try {
    await run(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

test("each replica gets a certificate of the authority that names it, with a key that only its owner may read", async (t) => {
  await inFolder(async (folder) => {
    const made = await makeCertificates(folder, ["us-east-1", "eu-west-1"]);
    t.same(made.map(({ replica, created }) => [replica, created]), [["eu-west-1", true], ["us-east-1", true]]);
    const authority = new X509Certificate(await readFile(path.join(folder, "ca.pem")));
    for (const { replica, cert, key } of made) {
      const certificate = new X509Certificate(await readFile(cert));
      t.ok(certificate.verify(authority.publicKey));
      t.equal(certificate.subjectAltName, `DNS:${replica}, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1`);
      t.equal((await stat(key)).mode & 0o777, 0o600);
    }
    t.equal((await stat(path.join(folder, "ca-key.pem"))).mode & 0o777, 0o600);
  });
});

test("two replicas authenticate each other over TLS with them", async (t) => {
  await inFolder(async (folder) => {
    const [west, east] = await makeCertificates(folder, ["eu-west-1", "us-east-1"]);
    if (west === undefined || east === undefined) throw new Error("two were asked for");
    const ca = await readFile(path.join(folder, "ca.pem"));
    const server = createServer({ ca, cert: await readFile(west.cert), key: await readFile(west.key), requestCert: true, rejectUnauthorized: true }, (socket) => {
      socket.end(socket.getPeerCertificate().subjectaltname ?? "");
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const client = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", servername: "eu-west-1", ca, cert: await readFile(east.cert), key: await readFile(east.key) });
    let said = "";
    client.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    await once(client, "close");
    t.match(said, /DNS:us-east-1/);
    server.close();
    await once(server, "close");
  });
});

test("made again, the authority and usable certificates stay; a lost, foreign or ending one is made anew", async (t) => {
  await inFolder(async (folder) => {
    const first = await makeCertificates(folder, ["a", "b", "c"]);
    const authority = await readFile(path.join(folder, "ca.pem"), "utf8");
    t.ok((await makeCertificates(folder, ["a", "b", "c"])).every(({ created }) => !created));
    const [a, b] = first;
    if (a === undefined || b === undefined) throw new Error("three were asked for");
    await unlink(a.key);
    await rm(b.cert);
    const again = await makeCertificates(folder, ["a", "b", "c"]);
    t.same(again.map(({ created }) => created), [true, true, false]);
    t.equal(await readFile(path.join(folder, "ca.pem"), "utf8"), authority);
    const inTwoYears = Date.now() + 800 * 86_400_000;
    t.ok((await makeCertificates(folder, ["a"], inTwoYears)).every(({ created }) => created));
  });
});

test("an authority without its key is refused with a sentence", async (t) => {
  await inFolder(async (folder) => {
    await makeCertificates(folder, ["a"]);
    await unlink(path.join(folder, "ca-key.pem"));
    await t.rejects(makeCertificates(folder, ["a"]), /holds only one of ca\.pem and ca-key\.pem/);
  });
});
