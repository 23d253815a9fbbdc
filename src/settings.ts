/** Reads single settings out of a region file, with the environment over it, and collects what is wrong with them. */

/** Where to listen or dial. IPv6 hosts are without brackets here. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, with brackets around an IPv6 host. */
export function addressText(address: Address): string {
  return `${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
}

/** What Kubernetes puts into every container for a service that is called statusmesh. */
const ORCHESTRATOR_VARIABLE = /^STATUSMESH_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_\d+_(?:TCP|UDP)(?:_[A-Z]+)?)?)$/;

interface TextShape {
  readonly pattern: RegExp;
  /** What the pattern asks for, in words. */
  readonly says: string;
  readonly fallback?: string;
  readonly optional?: boolean;
}

type Record_ = Readonly<Record<string, unknown>>;

export class SettingReader {
  readonly faults: string[];
  /** Environment variables that some setting has asked for. */
  private readonly known: Set<string>;

  /** `at`: path of this object within the file, with a dot at its end, or "". */
  constructor(
    private readonly values: Record_,
    private readonly environment: Readonly<Record<string, string | undefined>>,
    private readonly file: string,
    private readonly at = "",
    private readonly prefix = "STATUSMESH_",
    parent?: SettingReader,
  ) {
    this.faults = parent?.faults ?? [];
    this.known = parent?.known ?? new Set();
  }

  fault(sentence: string): void {
    this.faults.push(sentence);
  }

  /** The raw value, without validation. */
  peek(name: string): unknown {
    return this.environmentText(name) ?? this.values[name];
  }

  text(name: string, shape: TextShape): string | undefined {
    const value = this.peek(name) ?? shape.fallback;
    if (value === undefined) {
      if (shape.optional !== true) this.fault(`${this.label(name)} is missing from ${this.file} and ${this.variable(name)} is not set.`);
      return undefined;
    }
    if (typeof value === "string" && shape.pattern.test(value)) return value;
    this.fault(`${this.label(name)} must be ${shape.says}, not ${show(value)}.`);
    return undefined;
  }

  choice<T extends string>(name: string, choices: readonly T[], fallback: T): T {
    const value = this.peek(name) ?? fallback;
    const chosen = choices.find((choice) => choice === value);
    if (chosen === undefined) this.fault(`${this.label(name)} must be one of ${choices.join(", ")}, not ${show(value)}.`);
    return chosen ?? fallback;
  }

  flag(name: string, fallback: boolean): boolean {
    const value = this.peek(name) ?? fallback;
    if (typeof value === "boolean") return value;
    if (this.environmentText(name) !== undefined && (value === "true" || value === "1")) return true;
    if (this.environmentText(name) !== undefined && (value === "false" || value === "0")) return false;
    this.fault(`${this.label(name)} must be true or false, not ${show(value)}.`);
    return fallback;
  }

  integer(name: string, bounds: { readonly min: number; readonly max: number; readonly fallback: number }): number {
    const fromEnvironment = this.environmentText(name);
    const value = fromEnvironment === undefined ? (this.values[name] ?? bounds.fallback) : /^\d{1,16}$/.test(fromEnvironment) ? Number(fromEnvironment) : fromEnvironment;
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= bounds.min && value <= bounds.max) return value;
    this.fault(`${this.label(name)} must be a whole number from ${bounds.min} to ${bounds.max}, not ${show(value)}.`);
    return bounds.fallback;
  }

  address(name: string, options: { readonly portZero: boolean }): Address | undefined {
    const text = this.text(name, { pattern: /^.*$/s, says: "host:port" });
    if (text === undefined) return undefined;
    const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})?)):(\d{1,5})$/.exec(text);
    const host = match?.[1] ?? match?.[2];
    const port = Number(match?.[3] ?? Number.NaN);
    if (host !== undefined && port <= 65_535 && (port > 0 || options.portZero)) return { host, port };
    this.fault(`${this.label(name)} must be host:port with a port from ${options.portZero ? 0 : 1} to 65535, not ${show(text)}.`);
    return undefined;
  }

  /** An http or https URL; without the slash at its end. */
  baseUrl(name: string): string | undefined {
    const text = this.text(name, { pattern: /^.*$/s, says: "a URL" });
    if (text === undefined) return undefined;
    try {
      const url = new URL(text);
      if ((url.protocol === "http:" || url.protocol === "https:") && url.username === "" && url.search === "" && url.hash === "") return url.href.replace(/\/+$/, "");
    } catch {
      // Said below.
    }
    this.fault(`${this.label(name)} must be an http or https URL without query and credentials, not ${show(text)}.`);
    return undefined;
  }

  /** A list of texts; in the environment separated by commas. */
  texts(name: string): readonly string[] {
    const fromEnvironment = this.environmentText(name);
    if (fromEnvironment !== undefined) return fromEnvironment.split(",").map((text) => text.trim()).filter((text) => text !== "");
    const value = this.values[name] ?? [];
    if (Array.isArray(value) && value.every((text): text is string => typeof text === "string")) return value;
    this.fault(`${this.label(name)} must be a list of texts, not ${show(value)}.`);
    return [];
  }

  /** A nested object of settings; each has an environment variable of its own. */
  group<T>(name: string, members: readonly string[], read: (group: SettingReader) => T): T {
    const group = new SettingReader(this.object(name), this.environment, this.file, `${this.at}${name}.`, `${this.variable(name)}_`, this);
    const result = read(group);
    group.refuseUnknown(members, []);
    return result;
  }

  /** The members of an object whose names are ids. The whole object may come as JSON from the environment; each member's settings too. */
  members(name: string, variable: string): [string, SettingReader][] {
    const found: [string, SettingReader][] = [];
    for (const [id, value] of Object.entries(this.object(name))) {
      if (!isRecord(value)) this.fault(`${this.label(name)}.${id} must be an object, not ${show(value)}.`);
      else found.push([id, new SettingReader(value, this.environment, this.file, `${this.at}${name}.${id}.`, `${this.prefix}${variable}_${snake(id)}_`, this)]);
    }
    return found;
  }

  /** `tls`: "off", or three file names, which may come from the environment one by one. */
  tls(): { readonly ca: string; readonly cert: string; readonly key: string } | "off" | undefined {
    const variable = this.variable("tls");
    const names = ["ca", "cert", "key"] as const;
    for (const name of names) this.known.add(`${variable}_${name.toUpperCase()}`);
    const given = names.some((name) => this.fromEnvironment(`${variable}_${name.toUpperCase()}`) !== undefined);
    const value = given && this.environmentText("tls") === undefined && !isRecord(this.values["tls"]) ? {} : this.peek("tls");
    if (value === "off") return "off";
    if (value === undefined) {
      this.fault(`${this.label("tls")} is missing from ${this.file}: name ca, cert and key, or say "off" for plaintext.`);
      return undefined;
    }
    const object = typeof value === "string" ? parseObject(value) : value;
    if (!isRecord(object)) {
      this.fault(`${this.label("tls")} must be "off" or an object with ca, cert and key, not ${show(value)}.`);
      return undefined;
    }
    const group = new SettingReader(object, this.environment, this.file, `${this.at}tls.`, `${variable}_`, this);
    const [ca, cert, key] = names.map((name) => group.text(name, { pattern: /^[^\0]+$/, says: "the path of a PEM file" }));
    group.refuseUnknown(names, []);
    return ca === undefined || cert === undefined || key === undefined ? undefined : { ca, cert, key };
  }

  /** Faults for what no setting has asked for: in this object, and (at the top) in the environment. */
  refuseUnknown(names: readonly string[], otherVariables: readonly string[]): void {
    for (const name of Object.keys(this.values)) {
      if (!names.includes(name)) this.fault(`${this.at}${name} in ${this.file} is no setting${suggestion(name, names)}.`);
    }
    if (this.at !== "") return;
    for (const [variable, value] of Object.entries(this.environment)) {
      if (!variable.startsWith("STATUSMESH_") || value === undefined || ORCHESTRATOR_VARIABLE.test(variable)) continue;
      if (!this.known.has(variable) && !otherVariables.includes(variable)) this.fault(`${variable} in the environment is no setting${suggestion(variable, [...this.known, ...otherVariables])}.`);
    }
  }

  private object(name: string): Record_ {
    const fromEnvironment = this.environmentText(name);
    const value = fromEnvironment === undefined ? (this.values[name] ?? {}) : parseObject(fromEnvironment);
    if (isRecord(value)) return value;
    this.fault(`${this.label(name)} must be an object${fromEnvironment === undefined ? "" : " in JSON"}, not ${show(fromEnvironment ?? value)}.`);
    return {};
  }

  private environmentText(name: string): string | undefined {
    return this.fromEnvironment(this.variable(name));
  }

  /** Set but empty counts as not set, as compose files pass variables on. */
  private fromEnvironment(variable: string): string | undefined {
    this.known.add(variable);
    const text = this.environment[variable];
    return text === "" ? undefined : text;
  }

  private variable(name: string): string {
    return `${this.prefix}${snake(name)}`;
  }

  /** The name of a setting as the operator knows it: the variable, if the value comes from there. */
  private label(name: string): string {
    return this.environmentText(name) === undefined ? `${this.at}${name}` : `${this.variable(name)} (${this.at}${name})`;
  }
}

/** `antiEntropyIntervalMs` → `ANTI_ENTROPY_INTERVAL_MS`, `eu-west-1` → `EU_WEST_1`. */
function snake(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, "$1_$2").replaceAll("-", "_").toUpperCase();
}

function parseObject(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

/** Names the nearest of `names` if it is a typing error away. */
function suggestion(name: string, names: readonly string[]): string {
  const near = names.map((known) => ({ known, distance: editDistance(name.toLowerCase(), known.toLowerCase()) })).sort((a, b) => a.distance - b.distance)[0];
  return near !== undefined && near.distance <= 3 ? `; did you mean ${near.known}?` : "";
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
