/** A peer: Prometheus' blackbox_exporter, which probes a target when it is asked to. */
import { existsSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Child, TemporaryFolder, until } from "./children.js";
import { freePorts } from "../chaos/free-ports.js";
import { processorMsOf } from "./processor-time.js";

const program = process.env["BENCH_BLACKBOX_EXPORTER"] ?? "/usr/bin/prometheus-blackbox-exporter";

export const hasBlackboxExporter = (): boolean => existsSync(program);

const CONFIG = "modules:\n  http: { prober: http, timeout: 2s, http: { preferred_ip_protocol: ip4 } }\n";

export class BlackboxExporter {
  private constructor(private readonly folder: TemporaryFolder, private readonly child: Child, readonly base: string) {}

  static async start(): Promise<BlackboxExporter> {
    const folder = new TemporaryFolder();
    const [port = 0] = await freePorts(1);
    writeFileSync(path.join(folder.path, "blackbox.yml"), CONFIG);
    const child = Child.spawn("blackbox_exporter", program, [`--config.file=${path.join(folder.path, "blackbox.yml")}`, `--web.listen-address=127.0.0.1:${port}`, "--log.level=error"]);
    const base = `http://127.0.0.1:${port}`;
    await until("blackbox_exporter answers", async () => fetch(`${base}/-/healthy`).then(({ ok }) => ok, () => false), 10_000);
    return new BlackboxExporter(folder, child, base);
  }

  /** Path of a probe of an HTTP target. */
  probe(url: string): string {
    return `/probe?module=http&target=${encodeURIComponent(url)}`;
  }

  processorMs(): number {
    return processorMsOf(this.child.pid);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.child.stop();
    this.folder[Symbol.dispose]();
  }
}
