import t from "tap";
import { MemoryMesh } from "../../src/io/memory-mesh.js";
import { systemTimers } from "../../src/io/system-clock.js";
import { TestAuthority } from "./mesh-certificates.js";
import { meshContract, REPLICAS } from "./mesh-contract.js";
import { GrpcWorld } from "./mesh-world.js";

meshContract(t, "in memory", async () => {
  const meshes: MemoryMesh[] = [];
  // The outbox bound belongs to the whole mesh here, so the first to join decides it.
  const mesh = (outboxBytes?: number): MemoryMesh => {
    const made = meshes[0] ?? new MemoryMesh({ timers: systemTimers, reconnectMs: 20, ...(outboxBytes === undefined ? {} : { outboxBytes }) });
    meshes[0] = made;
    return made;
  };
  return {
    join: (replica, options) => Promise.resolve(mesh(options?.outboxBytes).join(replica, REPLICAS.filter((other) => other !== replica), options?.named)),
    cut: (a, b) => mesh().cut(a, b),
    heal: (a, b) => mesh().heal(a, b),
    close: () => Promise.resolve(mesh().dispose()),
  };
});

const authority = TestAuthority.create();
meshContract(t, "gRPC with mutual TLS", async () => GrpcWorld.create({ authority: await authority }));
