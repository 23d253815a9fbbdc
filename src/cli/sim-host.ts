/** What a simulation needs of the real world: the mesh's encoding, and turns of the event loop. */
import { decodeMessage, encodeMessage } from "../io/frame-codec.js";
import { nextTurn } from "../io/system-clock.js";
import type { SimulationHost } from "../sim/world.js";

export const simulationHost: SimulationHost = {
  codec: { encode: (message) => encodeMessage(message).bytes, decode: decodeMessage },
  nextTurn,
};
