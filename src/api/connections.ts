/**
 * Holds as many connections as there are descriptors for. A client beyond that is told so (503) on a connection that is closed
 * after the answer; only far beyond it is hung up on.
 */
import type { Server } from "node:http";
import type { Socket } from "node:net";
import { apiLimits } from "./api-limits.js";

export class Connections {
  private open = 0;
  private readonly surplus = new WeakSet<object>();

  /** `max`: connections that are served; undefined: as many as come. */
  constructor(private readonly max: number | undefined) {}

  watch(server: Server): void {
    const { max } = this;
    if (max === undefined) return;
    server.on("connection", (socket: Socket) => {
      this.open++;
      socket.once("close", () => void this.open--);
      if (this.open <= max) return;
      // Each refusal takes a descriptor of the reserve until it is said, or no request came within `headersTimeoutMs`.
      if (this.open > max + apiLimits.surplusConnectionsMax) socket.destroy();
      else this.surplus.add(socket);
    });
  }

  /** True if this connection is one too many. */
  isSurplus(socket: object): boolean {
    return this.surplus.has(socket);
  }
}
