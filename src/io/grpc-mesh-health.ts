/** The health service of gRPC (grpc.health.v1) on the replication port, for probes that speak it. */
import { type Server, type ServerUnaryCall, type ServerWritableStream, type sendUnaryData, status } from "@grpc/grpc-js";
import { type HealthCheckRequest, type HealthCheckResponse, HealthCheckResponse_ServingStatus as Serving, HealthService } from "./generated/grpc/health/v1/health.js";

const WATCHERS_MAX = 100;

export class HealthReport {
  private serving = true;
  private readonly watchers = new Set<ServerWritableStream<HealthCheckRequest, HealthCheckResponse>>();

  /** `services`: full names of the services that the server has. */
  constructor(private readonly services: readonly string[]) {}

  /** Adds the service to a server that does not listen yet. */
  addTo(server: Server): void {
    server.addService(HealthService, {
      check: (call: ServerUnaryCall<HealthCheckRequest, HealthCheckResponse>, callback: sendUnaryData<HealthCheckResponse>) => {
        const found = this.statusOf(call.request.service);
        if (found === Serving.SERVICE_UNKNOWN) callback({ code: status.NOT_FOUND, details: "there is no such service here" });
        else callback(null, { status: found });
      },
      watch: (call: ServerWritableStream<HealthCheckRequest, HealthCheckResponse>) => {
        call.on("error", () => this.watchers.delete(call));
        call.on("cancelled", () => this.watchers.delete(call));
        if (this.watchers.size >= WATCHERS_MAX) {
          call.emit("error", { code: status.RESOURCE_EXHAUSTED, details: "too many watchers" });
          return;
        }
        this.watchers.add(call);
        call.write({ status: this.statusOf(call.request.service) });
      },
    });
  }

  /** Tells every watcher; a replica that drains is not serving. */
  setServing(serving: boolean): void {
    if (serving === this.serving) return;
    this.serving = serving;
    for (const watcher of this.watchers) watcher.write({ status: this.statusOf(watcher.request.service) });
  }

  /** Ends every watch. */
  close(): void {
    this.setServing(false);
    for (const watcher of this.watchers) watcher.end();
    this.watchers.clear();
  }

  private statusOf(service: string): Serving {
    if (service !== "" && !this.services.includes(service)) return Serving.SERVICE_UNKNOWN;
    return this.serving ? Serving.SERVING : Serving.NOT_SERVING;
  }
}
