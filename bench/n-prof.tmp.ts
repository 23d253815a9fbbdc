import { Cluster, UPDATE_BODY, AUTHORIZATION } from "./cluster.ts";
import { LoadTool } from "./load.ts";
const load = await LoadTool.start();
const cluster = await Cluster.start(); const r = cluster.at("us-east"); const ids = await r.openIncidents(50);
const a = await load.run({ base: r.base, headers: AUTHORIZATION, connections: 50, seconds: 8, requests: ids.map(id => ({ method: "POST", path: `/v1/pages/default/incidents/${id}/updates`, body: UPDATE_BODY })) });
console.log(a.perSecond, a.p50, a.p99);
await cluster[Symbol.asyncDispose](); process.exit(0);
