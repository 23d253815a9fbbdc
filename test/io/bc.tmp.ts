import {GrpcWorld} from "./mesh-world.js"; import {Recorder,entriesOf,until} from "./mesh-contract.js";
const [A, B] = ["ap-south-1", "eu-west-1"] as const;
const world=await GrpcWorld.create(); 
const [a, b] = await Promise.all([world.join(A), world.join(B)]);
const [atA, atB] = [new Recorder(A), new Recorder(B)];
await Promise.all([a.open(atA), b.open(atB)]);
await until("linked", () => atA.linked.has(B));
world.proxy(A, B).blackhole();
const megabyte = entriesOf(1, 1024 * 1024);
for (let i = 0; i < 100; i++) { a.send(B, megabyte); if (i % 20 === 0) await new Promise((resolve) => setImmediate(resolve));}
const keep=setInterval(()=>{},1000);
console.time("b"); await b.close(); console.timeEnd("b");
console.time("a"); await a.close(); console.timeEnd("a");
for (const p of (world as any).proxies.values()) { console.time("p"); const r=await Promise.race([p.close(), new Promise(r=>setTimeout(r,2000,"late"))]); console.timeEnd("p"); if(r) console.log([...p.sockets].map((s:any)=>[s.destroyed,s.remotePort]), p.server._connections)}
clearInterval(keep);
