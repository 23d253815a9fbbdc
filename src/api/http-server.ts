/** Node's HTTP server with our bounds, and with a way past the router for answers that are ready. */
import { createServer, IncomingMessage, ServerResponse, validateHeaderName, validateHeaderValue, type RequestListener, type Server } from "node:http";
import { Socket } from "node:net";
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

/** Headers that many answers have in common: checked once, and written as they are from then on. */
export class PreparedHeaders {
  private readonly text: string;

  /** Names and values in turn, as `writeHead` takes them. Throws if HTTP knows no such header. */
  constructor(readonly list: readonly string[]) {
    let text = "";
    for (let index = 0; index < list.length; index += 2) {
      const [name = "", value = ""] = [list[index], list[index + 1]];
      validateHeaderName(name);
      validateHeaderValue(name, value);
      text += `${name}: ${value}\r\n`;
    }
    this.text = text;
  }

  /**
   * Writes the head of an answer: `own`, names and values in turn, and these. Node would look at every character of every value once more for
   * each answer, which is a quarter of what a public answer costs; so these are put into the head that it has made and not sent yet.
   */
  writeHead(response: ServerResponse, status: number, own: readonly string[]): void {
    if (!IS_HEAD_AT_HAND) {
      response.writeHead(status, [...this.list, ...own]);
      return;
    }
    response.writeHead(status, [...own]);
    const made = response as unknown as { _header: string };
    made._header = `${made._header.slice(0, -LINE_END.length)}${this.text}${LINE_END}`;
  }
}

const LINE_END = "\r\n";
/** No documented member of Node's answers: where it is not what it is known to be, headers go the ordinary way. */
const IS_HEAD_AT_HAND = isHeadAtHand();

function isHeadAtHand(): boolean {
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  response.writeHead(200, ["content-length", "0", "x-probe", "1"]);
  const { _header: head } = response as unknown as { readonly _header: unknown };
  return typeof head === "string" && head.startsWith("HTTP/1.1 200 ") && head.includes(`${LINE_END}x-probe: 1${LINE_END}`) && head.endsWith(LINE_END + LINE_END);
}
