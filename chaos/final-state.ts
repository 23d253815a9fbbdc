/** What every region holds in the end: all that the run touched, deleted resources too. */
import { resourceName, type Conflict, type FinalDocument, type FinalObservation, type RecordedEntry, type ResourceKey } from "../src/sim/history.js";
import { PAGE, ROUTES, sightOf, type ResourceType } from "./client.js";
import type { Recorder } from "./recorder.js";
import type { Json, ReplicaProcess } from "./replica-process.js";
import type { ChaosWorld } from "./world.js";

const AT_ONCE = 8;
const PAGES_MAX = 20;

export async function observe(world: ChaosWorld, recorder: Recorder): Promise<readonly FinalObservation[]> {
  const resources = new Map<string, ResourceKey>();
  for (const { subject } of recorder.operations) {
    const name = resourceName(subject);
    if (name !== undefined && subject.id !== undefined) resources.set(name, { page: subject.page, type: subject.type, id: subject.id });
  }
  return await Promise.all(world.all.map(async (node) => await observeNode(node, [...resources.values()], recorder)));
}

async function observeNode(node: ReplicaProcess, resources: readonly ResourceKey[], recorder: Recorder): Promise<FinalObservation> {
  const documents: FinalDocument[] = [];
  for (let at = 0; at < resources.length; at += AT_ONCE) documents.push(...(await Promise.all(resources.slice(at, at + AT_ONCE).map((resource) => documentOf(node, resource)))));
  const lists: Record<string, readonly string[]> = {};
  for (const [type, route] of Object.entries(ROUTES)) lists[`${PAGE}/${type}`] = (await allOf(node, `/v1/pages/${PAGE}/${route}`)).items.map(({ id }) => String(id));
  const { vector, merkle_root: merkleRoot } = await node.cluster();
  return { replica: node.id, region: node.region, observedAtMs: recorder.now(), vector, merkleRoot, documents, lists };
}

async function documentOf(node: ReplicaProcess, resource: ResourceKey): Promise<FinalDocument> {
  const type = resource.type as ResourceType;
  const route = `/v1/pages/${resource.page}/${ROUTES[type]}/${resource.id}`;
  const { status, body, etag } = await node.get(route);
  if (status !== 200 && status !== 404) throw new Error(`${route} of ${node.id}: ${status}`);
  const sight = status === 404 ? { found: false } : { ...sightOf(type, body), etag: etag.replaceAll('"', "") };
  const history = await allOf(node, `${route}/history`);
  const conflicts = status === 404 ? undefined : (await allOf(node, `${route}/conflicts`)).items;
  return {
    resource, sight,
    ...(history.isWhole ? { history: history.items as unknown as readonly RecordedEntry[] } : {}),
    ...(conflicts === undefined ? {} : { conflicts: conflicts as unknown as readonly Conflict[] }),
  };
}

async function allOf(node: ReplicaProcess, route: string): Promise<{ readonly items: readonly { readonly [name: string]: Json }[]; readonly isWhole: boolean }> {
  const items: { readonly [name: string]: Json }[] = [];
  let cursor = "";
  for (let page = 0; page < PAGES_MAX; page++) {
    const answer = await node.get(`${route}?limit=100${cursor}`);
    // What was never created has no history either.
    if (answer.status === 404) return { items: [], isWhole: false };
    if (answer.status !== 200) throw new Error(`${route} of ${node.id}: ${answer.status} ${answer.text}`);
    items.push(...(answer.body["data"] as { [name: string]: Json }[]));
    const next = answer.body["next_cursor"];
    if (typeof next !== "string") return { items, isWhole: true };
    cursor = `&cursor=${encodeURIComponent(next)}`;
  }
  return { items, isWhole: false };
}
