/** `/openapi.json`, as a check of answers. */
import AjvModule from "ajv/dist/2020.js";
import addFormatsModule from "ajv-formats";
import type { Answer, Client, Json } from "./contract-client.js";

const Ajv = AjvModule.default;
const addFormats = addFormatsModule.default;

export interface Operation {
  readonly method: string;
  readonly path: string;
  readonly description: Json;
}

export class Description {
  readonly operations: readonly Operation[];
  private readonly ajv = new Ajv({ strict: false, allErrors: true, validateFormats: true });

  constructor(readonly document: Json) {
    addFormats(this.ajv);
    this.ajv.addSchema(document, "openapi");
    this.operations = Object.entries<Json>(document.paths).flatMap(([path, methods]) =>
      Object.entries<Json>(methods).map(([method, description]) => ({ method: method.toUpperCase(), path, description })));
  }

  /** The operation that answers a path; undefined if none is described. */
  operationOf(method: string, url: string): Operation | undefined {
    const parts = (url.split("?", 1)[0] ?? "").split("/");
    const fits = ({ path }: Operation): boolean => {
      const pattern = path.split("/");
      return pattern.length === parts.length && pattern.every((part, index) => part.startsWith("{") || part === parts[index]);
    };
    const fitting = this.operations.filter((operation) => operation.method === method && fits(operation));
    return fitting.sort((a, b) => (a.path.match(/\{/g)?.length ?? 0) - (b.path.match(/\{/g)?.length ?? 0))[0];
  }

  /** In what an answer differs from the description of its operation. */
  faultsOf(method: string, url: string, { status, headers, body }: Answer): string[] {
    const operation = this.operationOf(method, url);
    if (operation === undefined) return status === 404 || status === 405 || method === "OPTIONS" ? [] : ["the operation is not in /openapi.json"];
    const pointer = `/paths/${pointerPart(operation.path)}/${method.toLowerCase()}/responses/${status}`;
    const response = this.resolve(operation.description.responses[status], pointer);
    if (response === undefined) return [`/openapi.json does not describe ${status} of ${method} ${operation.path}`];
    if (body === undefined) return [];
    const type = (headers["content-type"] ?? "").split(";", 1)[0] ?? "";
    const schema: Json = response.value.content?.[type]?.schema;
    if (schema === undefined) return [`/openapi.json describes no ${type} for ${status} of ${method} ${operation.path}`];
    const validate = this.ajv.compile({ $ref: `openapi#${response.pointer}/content/${pointerPart(type)}/schema` });
    return validate(body) ? [] : (validate.errors ?? []).map(({ instancePath, message }) => `against /openapi.json: ${instancePath} ${message}`);
  }

  /** Follows a reference. */
  resolve(value: Json, pointer: string): { value: Json; pointer: string } | undefined {
    if (value?.$ref === undefined) return value === undefined ? undefined : { value, pointer };
    const target = String(value.$ref).slice(1);
    let found = this.document;
    for (const part of target.split("/").slice(1)) found = found?.[part.replaceAll("~1", "/").replaceAll("~0", "~")];
    return this.resolve(found, target);
  }
}

function pointerPart(part: string): string {
  return encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1"));
}

export async function readDescription(client: Client): Promise<Description> {
  const answer = await client.as(null).get("/openapi.json");
  if (answer.status !== 200) throw new Error(`/openapi.json answers ${answer.status}: ${answer.text.slice(0, 500)}`);
  return new Description(answer.body);
}
