/** The real probe: looks at targets over the network. */
import type { Check, CheckOutcome } from "../../core/check.js";
import type { Json } from "../../core/change.js";
import type { Clock, Probe } from "../../core/ports.js";
import { CheckFailure } from "./check-failure.js";
import { probeDns } from "./dns-probe.js";
import { probeGrpc } from "./grpc-probe.js";
import { probeHttp, probeStatusPage } from "./http-probe.js";
import { probeIcmp } from "./icmp-probe.js";
import { probeTcp, probeTls } from "./stream-probes.js";
import { Stopwatch, type ProbeSettings } from "./target-connection.js";

export class NetworkProbe implements Probe {
  constructor(
    private readonly settings: ProbeSettings,
    private readonly clock: Clock,
  ) {}

  async run(check: Check): Promise<CheckOutcome> {
    const watch = new Stopwatch(check.timeoutMs);
    try {
      const details = await this.look(check, watch);
      const phases = watch.phases();
      const { max_latency_ms: most } = check.options;
      if (most !== undefined && (phases.total ?? 0) > most) throw new CheckFailure("slow", `it took longer than ${most} ms`);
      return { state: "up", phases, error: null, details };
    } catch (error) {
      const failure = CheckFailure.of(error);
      return { state: failure.state, phases: watch.phases(), error: failure.error, details: {} };
    }
  }

  private look(check: Check, watch: Stopwatch): Promise<{ readonly [name: string]: Json }> {
    switch (check.type) {
      case "http":
        return probeHttp(check, this.settings, watch, this.clock.now());
      case "smesh":
        return probeStatusPage(check, this.settings, watch, this.clock.now());
      case "tcp":
        return probeTcp(check, this.settings, watch);
      case "tls":
        return probeTls(check, this.settings, watch, this.clock.now());
      case "dns":
        return probeDns(check, this.settings, watch);
      case "grpc":
        return probeGrpc(check, this.settings, watch);
      case "icmp":
        return probeIcmp(check, this.settings, watch);
    }
  }
}
