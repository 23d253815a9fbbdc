/** Node's HTTP server with our bounds, and with a way past the router for answers that are ready. */
import { createServer, type RequestListener, type Server } from "node:http";
import { apiLimits } from "./api-limits.js";

/** `ready`: answers a request, or gives false where `handler` must. */
export function httpServer(ready: (...call: Parameters<RequestListener>) => boolean, handler: RequestListener): Server {
  const server = createServer({
    maxHeaderSize: apiLimits.headerBytesMax, headersTimeout: apiLimits.headersTimeoutMs, requestTimeout: apiLimits.requestTimeoutMs, keepAliveTimeout: apiLimits.keepAliveTimeoutMs,
    connectionsCheckingInterval: apiLimits.connectionsCheckedEveryMs,
  }, (request, response) => {
    if (!ready(request, response)) handler(request, response);
  });
  server.timeout = apiLimits.connectionTimeoutMs;
  return server;
}
