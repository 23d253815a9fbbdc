import t from "tap";
import { isFault } from "../../src/core/errors.js";
import type { Command } from "../../src/store/data-plane.js";
import { Draft } from "../../src/store/document-reader.js";
import { decodeToken } from "../../src/store/session-token.js";
import { Cluster, component, newDisk, write } from "./cluster.js";

/** Makes the labels of one document what is given, as the difference to what the session has seen. */
function labelling(labels: readonly string[]): Command {
  const key = component("labelled");
  return {
    name: "test.label", subject: key,
    plan: (snapshot) => {
      const document = snapshot.document(key);
      const draft = new Draft(document);
      if (document === undefined) draft.create();
      return { changes: [{ document: key, operations: draft.replaceSet("labels", labels, "", snapshot.seen).operations }] };
    },
    answer: (snapshot) => ({ status: 200, body: { labels: snapshot.document(key)?.elements("labels") ?? [] }, etagOf: key }),
  };
}

t.test("a label added by a past life of a replica is removed by a session whose token does not name that life any more", { timeout: 150_000 }, async (t) => {
  await using cluster = new Cluster();
  await cluster.start();
  await cluster.voting();
  await write(cluster.node("us-east"), labelling(["old"]));
  await cluster.converged();
  const before = Object.keys(cluster.node("us-east").cluster().vector).find((origin) => origin.startsWith("us-east-1.")) ?? "";
  await cluster.stop("us-east-1");
  cluster.disks.set("us-east-1", newDisk("another disk"));
  await cluster.start("us-east-1");
  await cluster.voting();
  await cluster.converged();
  const eu = cluster.node("eu-west");
  let session = {};
  await cluster.settled("tokens leave the past life out", async () => {
    const { token } = await write(eu, labelling(["old"]));
    session = decodeToken(token, 4_096) ?? {};
    return !(before in session);
  }, 30_000);
  const result = await eu.commit(labelling([]), { level: "LOCAL", actor: "test", session });
  t.notOk(isFault(result));
  t.same(isFault(result) ? undefined : JSON.parse(result.body ?? "{}"), { labels: [] });
});
