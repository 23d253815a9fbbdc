/** One dial address of the mesh: a proxy whose two directions can be swallowed and slowed down one by one, and whose connections can be reset and refused. */
import { ToxicProxy } from "../../src/io/toxic-proxy.js";
import { toxicFrom, type ToxicStream } from "../../src/io/toxics.js";

/** Nobody listens there. */
const NOWHERE = { host: "127.0.0.1", port: 1 };

export class LinkProxy {
  private constructor(private readonly proxy: ToxicProxy) {}

  static async listen(): Promise<LinkProxy> {
    return new LinkProxy(await ToxicProxy.listen({ name: "link", port: 0, upstream: NOWHERE, enabled: true, avoid: new Set(), uniform: () => 0 }));
  }

  get port(): number {
    return this.proxy.port;
  }

  /** Connections that were passed on, ever. */
  get accepted(): number {
    return this.proxy.traffic.accepted;
  }

  /** Connections that were refused because the link is cut. */
  get refused(): number {
    return this.proxy.traffic.refused;
  }

  /** Forwards to a port on loopback from now on. */
  leadTo(port: number): void {
    this.proxy.setUpstream({ host: "127.0.0.1", port });
  }

  /** Resets what is connected and refuses what comes. */
  cut(): void {
    this.proxy.setEnabled(false);
  }

  heal(): void {
    // What was swallowed is gone from the stream: such a connection cannot go on.
    if (this.proxy.toxics.some(({ type }) => type === "timeout")) this.reset();
    this.proxy.clear();
    this.proxy.setEnabled(true);
  }

  /** Resets what is connected; new connections are taken. */
  reset(): void {
    this.proxy.reset();
  }

  /** Delays one direction: what who dialled sends (`upstream`), or what it is sent. */
  delay(stream: ToxicStream, ms: number): void {
    this.poison({ type: "latency", stream, attributes: { latency: ms } });
  }

  /** Swallows one direction; the connection stays. */
  swallow(stream: ToxicStream): void {
    this.poison({ type: "timeout", stream });
  }

  private poison(body: Readonly<Record<string, unknown>>): void {
    const toxic = toxicFrom(body);
    if (typeof toxic === "string") throw new Error(toxic);
    this.proxy.setToxic(toxic);
  }

  async close(): Promise<void> {
    await this.proxy[Symbol.asyncDispose]();
  }
}
