/** The sealed history over HTTP: the chains of a page, what was sealed of a monitor, and proofs. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { Fault, isFault } from "../../core/errors.js";
import { hlcMs, isHlc } from "../../core/hlc.js";
import { sealLimits } from "../../core/limits.js";
import type { Clock } from "../../core/ports.js";
import type { Json } from "../../core/change.js";
import type { DataPlane, Query, Snapshot } from "../../store/data-plane.js";
import { pageKey, requirePage } from "../../store/resource.js";
import { refuseUnnameable } from "../../store/resource-queries.js";
import { PageParams, ResourceParams } from "../../store/resource-schemas.js";
import { renderedList, type Rendered, type RouteOptions } from "../../store/route-context.js";
import { listOf, plainQuery } from "../../store/route-schemas.js";
import { ProofResource, proofOf, proofText, type Proof } from "./proof.js";
import { RECORD_KINDS, sealHash, type Seal, type SealedRecord } from "./seal.js";
import { chainsIn, lifeOf, originOf, sealedOn, sealsOf, type SealedTexts } from "./seal-store.js";
import { DAY_MS } from "./uptime.js";

const tags = ["monitors"];
const viewer = { role: "viewer", localOnly: true } as const;
const consistency = Type.Optional(Type.String({ description: "Only `LOCAL`." }));
const closed = { additionalProperties: false };
const Replica = Type.String({ minLength: 1, maxLength: 48 });

const ChainItem = Type.Object({
  origin: Type.String({ description: "The life of a replica that extends this chain." }), replica: Type.String(), region: Type.String(), number: Type.Integer(), until: Type.String(),
  hash: Type.String({ description: "Of its latest seal that is known here." }),
});
const SealedItem = Type.Object({
  kind: Type.Enum([...RECORD_KINDS]), record: Type.String(), at: Type.String(), region: Type.String(), replica: Type.String(), value: Type.Unknown(), origin: Type.String(), seal: Type.Integer(),
  proof: Type.String({ description: "Path of its proof." }),
});
const DayQuery = Type.Object({ day: Type.Optional(Type.String({ pattern: "^\\d{4}-\\d{2}-\\d{2}$", description: "The day (UTC) on which it was sealed. Default: today." })), consistency }, closed);
const ProofQuery = Type.Object({
  record: Type.Optional(Type.String({ minLength: 10, maxLength: 32, description: "Required: the HLC of an opinion's or verdict's change, or a day such as `2026-01-31`." })),
  replica: Type.Optional({ ...Replica, description: "Whose record. Needed for a day; an HLC is one replica's only." }), consistency,
}, closed);

const dateOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

interface Found extends SealedTexts {
  readonly index: number;
}

interface Wanted {
  readonly record: string;
  readonly replica: string | undefined;
  /** Start of the day that it is from, ms since the epoch. */
  readonly fromMs: number;
}

function wanted({ record = "", replica }: { readonly record?: string; readonly replica?: string }): Wanted | Fault {
  const isDay = /^\d{4}-\d{2}-\d{2}$/.test(record) && !Number.isNaN(Date.parse(record));
  if (!isDay && !isHlc(record)) return new Fault("malformed", "`record` must be the HLC of a change or a day.");
  if (isDay && replica === undefined) return new Fault("malformed", "Each replica seals days of its own: name one in `replica`.");
  return { record, replica, fromMs: Math.floor((isDay ? Date.parse(record) : hlcMs(record)) / DAY_MS) * DAY_MS };
}

/** The place of a monitor's record; of several seals that hold it, the earliest. Looked for where it can be: from its own day on, day by day. */
async function findRecord(data: DataPlane, page: string, monitor: string, { fromMs, record, replica }: Wanted): Promise<Found | undefined | Fault> {
  for (let dayMs = fromMs; dayMs <= fromMs + sealLimits.windowMs + 2 * DAY_MS; dayMs += DAY_MS) {
    const found = await data.read({
      documents: [],
      render: (snapshot): Found | null => {
        for (const sealed of sealedOn(snapshot, page, dateOf(dayMs), (chain) => replica === undefined || chain.startsWith(`${replica}_`))) {
          const index = sealed.texts.findIndex((text) => isNamed(text, monitor, record));
          if (index >= 0) return { ...sealed, index };
        }
        return null;
      },
    }, { level: "LOCAL" });
    if (isFault(found)) return found;
    if (found.value !== null) return found.value;
  }
  return undefined;
}

function isNamed(text: string, monitor: string, record: string): boolean {
  if (!text.includes(record)) return false;
  const parsed = JSON.parse(text) as SealedRecord;
  return parsed.id === record && parsed.monitor === monitor;
}

async function proofFor(data: DataPlane, page: string, found: Found): Promise<Proof | undefined | Fault> {
  const seals = await data.read({
    documents: [], render: (snapshot) => sealsOf(snapshot, page, found.chain).filter(({ number }) => number >= found.number).slice(0, sealLimits.sealsPerProofMax),
  }, { level: "LOCAL" });
  if (isFault(seals)) return seals;
  const [first, ...others] = seals.value;
  // The records of a seal may be here before the seal is.
  if (first === undefined || first.number !== found.number) return undefined;
  const gap = others.findIndex(({ number }, index) => number !== first.number + index + 1);
  return proofOf(found.texts, found.index, [first, ...(gap < 0 ? others : others.slice(0, gap))]);
}

/** Shown wherever the page exists: a monitor that was deleted has its past all the same. */
function ofPage(page: string, render: (snapshot: Snapshot) => Rendered | Fault): Query<Rendered> {
  return { documents: [pageKey(page)], render: (snapshot) => requirePage(snapshot, page) ?? render(snapshot) };
}

function presentChain(origin: string, seal: Seal): { readonly [name: string]: Json } {
  const { number, region, replica, until } = seal;
  return { origin, replica, region, number, until, hash: sealHash(seal) };
}

function presentSealed({ chain, number, texts }: SealedTexts, page: string, monitor: string): { readonly [name: string]: Json }[] {
  return texts.flatMap((text) => {
    const record = JSON.parse(text) as SealedRecord;
    if (record.monitor !== monitor) return [];
    const { at, id, kind, region, replica, value } = record;
    return { kind, record: id, at, region, replica, value, origin: originOf(lifeOf(chain)), seal: number, proof: `/v1/pages/${page}/monitors/${monitor}/proof?record=${id}&replica=${replica}` };
  });
}

/** Routes of the sealed history. */
export function sealRoutes(clock: Clock): FastifyPluginAsyncTypebox<RouteOptions> {
  return async (app, { context }) => {
    app.addHook("preHandler", refuseUnnameable(context));
    const { data } = context;

    app.get("/v1/pages/:page/seals", { config: viewer, schema: { tags, summary: "Chains of seals: the latest of each, to compare between regions", params: PageParams, querystring: plainQuery, response: { 200: listOf(ChainItem) } } },
      (request, reply) => {
        const { page } = request.params;
        return context.read(request, reply, ofPage(page, (snapshot) => renderedList(chainsIn(snapshot, page).flatMap((chain) => {
          const last = sealsOf(snapshot, page, chain).at(-1);
          return last === undefined ? [] : presentChain(originOf(lifeOf(chain)), last);
        }), null)));
      });

    app.get("/v1/pages/:page/monitors/:id/sealed", { config: viewer, schema: { tags, summary: "What was sealed of a monitor on a day, latest first", params: ResourceParams, querystring: DayQuery, response: { 200: listOf(SealedItem) } } },
      (request, reply) => {
        const { page, id } = request.params;
        const { day = dateOf(clock.now()) } = request.query;
        return context.read(request, reply, ofPage(page, (snapshot) =>
          renderedList(sealedOn(snapshot, page, day).flatMap((sealed) => presentSealed(sealed, page, id)).sort((a, b) => (String(a["at"]) > String(b["at"]) ? -1 : 1)), null)));
      });

    app.get("/v1/pages/:page/monitors/:id/proof", { config: viewer, schema: { tags, summary: "Proof that an opinion, a verdict or a day is in the sealed history", params: ResourceParams, querystring: ProofQuery, response: { 200: ProofResource } } },
      async (request, reply) => {
        const { page, id } = request.params;
        const known = await data.read({ documents: [pageKey(page)], render: (snapshot) => requirePage(snapshot, page) ?? true }, { level: "LOCAL" });
        const asked = isFault(known) ? known : wanted(request.query);
        if (isFault(asked)) return context.fail(request, reply, asked);
        const found = await findRecord(data, page, id, asked);
        const proof = found === undefined || isFault(found) ? found : await proofFor(data, page, found);
        if (isFault(proof)) return context.fail(request, reply, proof);
        const missing = new Fault("not-found", "No seal that is known here holds this record. An hour is sealed a minute after its end.");
        const text = proof === undefined ? undefined : proofText(proof);
        return context.read(request, reply, ofPage(page, () => (text === undefined ? missing : { body: text, etag: null })));
      });
  };
}
