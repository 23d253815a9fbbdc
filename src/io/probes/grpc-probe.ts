/** Checks by gRPC's health protocol (grpc.health.v1). */
import { isIPv6 } from "node:net";
import { Client, credentials, status, type ServiceError } from "@grpc/grpc-js";
import type { Check } from "../../core/check.js";
import type { Json } from "../../core/change.js";
import { HealthCheckRequest, HealthCheckResponse, HealthCheckResponse_ServingStatus as Serving } from "../generated/grpc/health/v1/health.js";
import { CheckFailure } from "./check-failure.js";
import { addressOf } from "./target-address.js";
import { openTcp, openTls, type ProbeSettings, type Stopwatch } from "./target-connection.js";

const METHOD = "/grpc.health.v1.Health/Check";

/** gRPC dials by itself, so the address that passed the guard is what it is given. The connection before it is timed, and tells a refused port from a silent service. */
export async function probeGrpc({ target, options }: Check, settings: ProbeSettings, watch: Stopwatch): Promise<{ readonly [name: string]: Json }> {
  const { host, port } = addressOf(target);
  const socket = await openTcp(host, port, settings, watch);
  const address = socket.remoteAddress ?? "";
  try {
    if (options.tls === true) (await openTls(socket, host, options, watch, ["h2"])).destroy();
  } finally {
    socket.on("error", () => undefined).destroy();
  }
  const name = options.server_name ?? host;
  const secure = credentials.createSsl(options.ca === undefined ? null : Buffer.from(options.ca), null, null, options.verify === false ? { rejectUnauthorized: false } : {});
  const client = new Client(isIPv6(address) ? `ipv6:[${address}]:${port}` : `ipv4:${address}:${port}`, options.tls === true ? secure : credentials.createInsecure(), {
    "grpc.default_authority": name, "grpc.enable_http_proxy": 0, "grpc.enable_retries": 0, "grpc.use_local_subchannel_pool": 1, "grpc.max_receive_message_length": 64 * 1024,
    ...(options.tls === true ? { "grpc.ssl_target_name_override": name } : {}),
  });
  const since = watch.elapsedMs;
  try {
    const answer = await new Promise<HealthCheckResponse>((answered, failed) => {
      client.makeUnaryRequest(
        METHOD, (request: HealthCheckRequest) => Buffer.from(HealthCheckRequest.encode(request).finish()), (bytes: Buffer) => HealthCheckResponse.decode(bytes),
        { service: options.service ?? "" }, { deadline: performance.timeOrigin + performance.now() + watch.leftMs },
        (error: ServiceError | null, value?: HealthCheckResponse) => (error === null && value !== undefined ? answered(value) : failed(error)),
      );
    });
    watch.add("first_byte", since);
    if (answer.status !== Serving.SERVING) throw new CheckFailure("not-serving", `the service says ${Serving[answer.status] ?? "nothing known"}`);
    return {};
  } catch (error) {
    throw failureOf(error);
  } finally {
    client.close();
  }
}

function failureOf(error: unknown): CheckFailure {
  if (error instanceof CheckFailure) return error;
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  switch (code) {
    case status.DEADLINE_EXCEEDED:
      return new CheckFailure("timeout", "no answer came in time");
    case status.NOT_FOUND:
      return new CheckFailure("no-service", "there is no such service");
    case status.UNIMPLEMENTED:
      return new CheckFailure("unimplemented", "the server does not speak the health protocol");
    case status.UNAVAILABLE:
      return new CheckFailure("unavailable", "the server is not available");
    default:
      return new CheckFailure("grpc", `the call failed with status ${typeof code === "number" ? status[code] : "unknown"}`);
  }
}
