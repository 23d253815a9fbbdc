import t from "tap";
import { decodeMessage, encodeMessage } from "../../src/io/frame-codec.js";
import { SeededRandom } from "../../src/sim/seeded-random.js";
import { SimulatedNetwork } from "../../src/sim/simulated-network.js";
import { SimulatedClock, SimulatedProcess } from "../../src/sim/simulated-process.js";
import { meshContract, REPLICAS } from "../io/mesh-contract.js";
import { DrivenQueue } from "./driven-queue.js";

meshContract(t, "simulated", async () => {
  const driven = new DrivenQueue();
  const { queue, trace } = driven;
  const network = new SimulatedNetwork(queue, new SeededRandom("network"), trace, {
    codec: { encode: (message) => encodeMessage(message).bytes, decode: decodeMessage }, latencyMs: () => 1, reached: () => {}, reconnectMinMs: 10, reconnectMaxMs: 20,
  });
  return {
    join: (replica, options = {}) => {
      const process = new SimulatedProcess(replica, queue, new SimulatedClock(queue, 0));
      return Promise.resolve(network.join(process, REPLICAS.filter((other) => other !== replica), options));
    },
    cut: (a, b) => {
      network.cut(a, b, true);
      network.cut(b, a, true);
    },
    heal: (a, b) => {
      network.mend(a, b);
      network.mend(b, a);
    },
    close: () => driven.stop(),
  };
});
