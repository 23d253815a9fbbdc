import t from "tap";
import { ClockWorld, NEAREST } from "./quorum-clock.js";

const REGIONS = [0, 1, 2] as const;
type Kind = "write" | "swap" | "read" | "list";

function alone(kind: Kind): ClockWorld {
  const clock = new ClockWorld(1, { vectorTags: true });
  clock.invoke("write", 0);
  for (let turn = 0; turn < 60; turn++) {
    const region = REGIONS[turn % 3] ?? 0;
    const at = 3_000 + turn * 1_000;
    if (kind === "read" || kind === "list") clock.at(at, () => clock.invoke("write", (region + 1) % 3, undefined, "page/component/d"));
    clock.at(at + 400, () => clock.invoke(kind, region));
  }
  clock.run(64_000);
  return clock;
}

for (const kind of ["write", "swap", "read", "list"] as const) {
  t.test(`an undisturbed ${kind} takes one round trip to the nearest majority`, (t) => {
    const clock = alone(kind);
    for (const region of REGIONS) {
      const name = `${kind} ${region}`;
      t.ok((clock.latencies.get(name)?.length ?? 0) >= 20);
      t.equal(clock.failures.get(name), undefined);
      const ratio = clock.quantile(name, 0.5) / NEAREST[region];
      t.ok(ratio <= 1.05, `${name}: ${ratio.toFixed(2)} of the round trip`);
    }
    t.end();
  });
}

function contended(seed: number, handover: boolean, places: readonly [number, number, number]): ClockWorld {
  const clock = new ClockWorld(seed, { handover, places });
  for (const region of REGIONS) clock.loop("write", region, 60);
  clock.run(60_000);
  return clock;
}

for (const places of [[0, 1, 2], [2, 1, 0], [1, 2, 0]] as const) {
  t.test(`three writers that loop on one document all get on, regions ${places.join()}`, (t) => {
    for (const handover of [false, true]) {
      const clock = contended(2, handover, places);
      for (const replica of REGIONS) {
        const name = `write ${replica}`;
        const nearest = NEAREST[places[replica]];
        const median = clock.quantile(name, 0.5) / nearest;
        t.comment(`handover ${handover}, ${name} (region ${places[replica]}): n ${clock.latencies.get(name)?.length}, p50 ${median.toFixed(2)}, p95 ${(clock.quantile(name, 0.95) / nearest).toFixed(2)}, max ${(clock.quantile(name, 1) / nearest).toFixed(2)} of the round trip`);
        t.equal(clock.failures.get(name), undefined, "nobody fails");
        t.ok(clock.quantile(name, 1) < 10_000, "nobody starves");
        if (handover) t.ok(median <= 5);
      }
    }
    t.end();
  });
}

t.test("lists beside two writers in the same scope come to an end", (t) => {
  const clock = new ClockWorld(5);
  clock.loop("write", 0, 100);
  clock.loop("write", 1, 100);
  for (const region of [0, 2]) clock.loop("list", region, 60);
  clock.run(60_000);
  for (const name of ["list 0", "list 2", "write 0", "write 1"]) {
    t.comment(`${name}: n ${clock.latencies.get(name)?.length}, p50 ${clock.quantile(name, 0.5).toFixed(0)} ms, max ${clock.quantile(name, 1).toFixed(0)} ms`);
    t.equal(clock.failures.get(name), undefined);
    t.ok(clock.quantile(name, 1) < 10_000);
  }
  t.end();
});

t.test("LOCAL writes on other documents cost quorum reads and lists nothing", (t) => {
  const clock = new ClockWorld(7);
  for (const region of [0, 1]) clock.localLoop(region, 40, "page/component/other");
  for (const region of REGIONS) {
    clock.loop("read", region, 60);
    clock.loop("list", region, 60);
  }
  clock.run(30_000);
  for (const region of REGIONS) for (const kind of ["read", "list"]) t.ok(clock.quantile(`${kind} ${region}`, 0.95) <= 1.06 * NEAREST[region]);
  t.end();
});
