/**
 * A page's components, monitors and webhooks as a YAML file: read, and held against its schema, with the line of whatever is wrong.
 *
 * The file says all of what it names: a setting that is left out is meant to have its default. Only `position` is left as it is,
 * and what changes by itself (a component's status) is no setting.
 */
import { isMap, LineCounter, parseDocument, type Document } from "yaml";
import { Type, type Static } from "typebox";
import { validationDetails, validatorCompiler, type SchemaError } from "../api/validation.js";
import type { Json } from "../core/change.js";
import type { FaultDetail } from "../core/errors.js";
import { ComponentCreate } from "../features/components/component.js";
import { GroupCreate } from "../features/components/component-group.js";
import { Rule } from "../features/alerts/rules.js";
import { WebhookCreate } from "../features/alerts/webhook.js";
import { DEFAULTS, MonitorCreate, plainWindows } from "../features/monitors/monitor.js";
import { optionFaults, targetFault } from "../features/monitors/options.js";
import { closed, Identifier, Name } from "../store/resource-schemas.js";
import { nullable } from "../store/route-schemas.js";
import { CommandFault, EXIT_CONFIG } from "./terminal.js";

/** In the order in which they are made: each refers only to what comes before it. */
export const KINDS = ["component-group", "component", "monitor", "webhook"] as const;
export type Kind = (typeof KINDS)[number];

const { group_id: _group, status: _status, ...componentFields } = ComponentCreate.properties;
const { component_id: _component, depends_on: _dependsOn, ...monitorFields } = MonitorCreate.properties;
const { component_id: _mapped, ...ruleFields } = Rule.properties;

const many = <T extends Type.TSchema>(item: T) => Type.Optional(Type.Array(item, { maxItems: 10_000 }));
const FileSchema = closed({
  page: Type.Optional(Identifier),
  groups: many(GroupCreate),
  components: many(closed({ ...componentFields, group: Type.Optional(nullable(Name)) })),
  monitors: many(closed({ ...monitorFields, component: Type.Optional(nullable(Name)), depends_on: Type.Optional(nullable(Name)) })),
  webhooks: many(closed({ name: WebhookCreate.properties.name, source: WebhookCreate.properties.source, rules: Type.Optional(Type.Array(closed({ ...ruleFields, component: nullable(Name) }), { maxItems: 200 })) })),
});
type FileContent = Static<typeof FileSchema>;
const SECTIONS = { "component-group": "groups", component: "components", monitor: "monitors", webhook: "webhooks" } as const satisfies Record<Kind, keyof FileContent>;

/** Gives the id of what a name stands for. */
export type IdOf = (kind: Kind, name: string) => string;

/** Something that the file wants to be there. */
export interface Wanted {
  readonly kind: Kind;
  readonly name: string;
  readonly line: number;
  /** What it names: what must be there first. */
  readonly references: readonly { readonly kind: Kind; readonly name: string; readonly line: number }[];
  /** The fields as the API takes them. */
  body(idOf: IdOf): { readonly [field: string]: Json };
}

export interface ApplyFile {
  readonly page: string | undefined;
  readonly wanted: readonly Wanted[];
  /** Kinds that the file speaks of, if only to say that there are none. */
  readonly kinds: ReadonlySet<Kind>;
}

const GROUP_DEFAULTS = { description: null, collapsed: false } as const;
const COMPONENT_DEFAULTS = { description: null, show_uptime: true, show_latency: false, only_show_if_degraded: false } as const;

/** A rule with its defaults, so that what was left out and what was written compare equal. */
export function wholeRule(rule: { readonly [field: string]: Json }): Json {
  const matchers = (rule["matchers"] as readonly { readonly [field: string]: Json }[]).map((matcher) => ({ operator: "=", ...matcher }));
  return { component_status: "major_outage", incident_name: null, show_annotations: false, ...rule, matchers };
}

/** @throws CommandFault with one sentence a fault, each with its line, exit code 78 */
export function parseApplyFile(text: string, name: string): ApplyFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, maxAliasCount: 100 } as Parameters<typeof parseDocument>[1]);
  const lineAt = (offset: number | undefined): number => lines.linePos(offset ?? 0).line;
  if (document.errors.length > 0) fail(name, document.errors.map(({ message, pos }) => ({ line: lineAt(pos[0]), message })));
  const content = contentOf(document);
  const place = (pointer: string): number => lineAt(offsetOf(document, pointer));
  const check = validatorCompiler()({ schema: FileSchema, method: "", url: "", httpPart: "body" });
  if (check(content) !== true) {
    const errors = (check as unknown as { readonly errors: readonly SchemaError[] | null }).errors ?? [];
    fail(name, validationDetails(errors).map(({ pointer, message }) => ({ line: place(pointer), message: `${titleOf(pointer)} ${message.replace("a client may set", "may stand")}` })));
  }
  const file = content as FileContent;
  const wanted = wantedOf(file, place);
  const faults = [...monitorFaults(file), ...repeated(wanted)].map(({ pointer, message }) => ({ line: place(pointer), message: `${titleOf(pointer)} ${message}` }));
  if (faults.length > 0) fail(name, faults);
  return { page: file.page, wanted, kinds: new Set(KINDS.filter((kind) => file[SECTIONS[kind]] !== undefined)) };
}

/** An empty file asks for nothing. */
function contentOf(document: Document): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 }) ?? {};
  } catch (error) {
    throw new CommandFault([error instanceof Error ? error.message : String(error)], EXIT_CONFIG);
  }
}

export function fail(file: string, faults: readonly { readonly line: number; readonly message: string }[]): never {
  throw new CommandFault([...faults].sort((a, b) => a.line - b.line).map(({ line, message }) => `${file}:${line}: ${message}`), EXIT_CONFIG);
}

function partsOf(pointer: string): string[] {
  return pointer.split("/").slice(1).map((part) => decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** `#/monitors/0/target` as a person says it. */
function titleOf(pointer: string): string {
  return partsOf(pointer).reduce((title, part) => (/^\d+$/.test(part) ? `${title}[${part}]` : title === "" ? part : `${title}.${part}`), "") || "the file";
}

/** Where in the text a place of the content is: the name of a field, or the nearest that is there. */
function offsetOf(document: Document, pointer: string): number | undefined {
  const parts = partsOf(pointer);
  for (let length = parts.length; length > 0; length--) {
    const parent = length === 1 ? document.contents : document.getIn(parts.slice(0, length - 1).map(indexOrName), true);
    const last = parts[length - 1] ?? "";
    if (isMap(parent)) {
      const key = parent.items.find((item) => String(item.key) === last)?.key as { readonly range?: readonly number[] } | undefined;
      if (key?.range !== undefined) return key.range[0];
    } else {
      const node = document.getIn(parts.slice(0, length).map(indexOrName), true) as { readonly range?: readonly number[] } | undefined;
      if (node?.range !== undefined) return node.range[0];
    }
  }
  return document.contents?.range?.[0];
}

const indexOrName = (part: string): string | number => (/^\d+$/.test(part) ? Number(part) : part);

function monitorFaults(file: FileContent): FaultDetail[] {
  return (file.monitors ?? []).flatMap(({ options = null, target = null, type }, index) => {
    const wrong = targetFault(type, target);
    const faults = [...(wrong === undefined ? [] : [{ pointer: "#/target", message: wrong }]), ...optionFaults(type, options ?? {})];
    return faults.map(({ pointer, message }) => ({ pointer: `#/monitors/${index}${pointer.slice(1)}`, message }));
  });
}

/** Names stand for what they name: two of a kind must not share one. */
function repeated(wanted: readonly (Wanted & { readonly pointer: string })[]): FaultDetail[] {
  const first = new Map<string, number>();
  return wanted.flatMap(({ kind, line, name, pointer }) => {
    const earlier = first.get(`${kind} ${name}`);
    if (earlier === undefined) first.set(`${kind} ${name}`, line);
    return earlier === undefined ? [] : [{ pointer: `${pointer}/name`, message: `is the name of another ${kind} on line ${earlier}` }];
  });
}

function wantedOf(file: FileContent, place: (pointer: string) => number): (Wanted & { readonly pointer: string })[] {
  const found: (Wanted & { readonly pointer: string })[] = [];
  const add = (kind: Kind, index: number, name: string, references: readonly [kind: Kind, name: string | null | undefined, field: string][], body: Wanted["body"]): void => {
    const pointer = `#/${SECTIONS[kind]}/${index}`;
    const named = references.flatMap(([of, to, field]) => (typeof to === "string" ? [{ kind: of, name: to, line: place(`${pointer}/${field}`) }] : []));
    found.push({ kind, name, pointer, line: place(pointer), references: named, body });
  };
  for (const [index, group] of (file.groups ?? []).entries()) add("component-group", index, group.name, [], () => ({ ...GROUP_DEFAULTS, ...group }) as { [field: string]: Json });
  for (const [index, { group, ...component }] of (file.components ?? []).entries()) {
    add("component", index, component.name, [["component-group", group, "group"]], (idOf) => ({ ...COMPONENT_DEFAULTS, ...component, group_id: typeof group === "string" ? idOf("component-group", group) : null }) as { [field: string]: Json });
  }
  for (const [index, { component, depends_on: dependsOn, ...monitor }] of (file.monitors ?? []).entries()) {
    const given = Object.fromEntries(Object.entries(monitor).filter(([, value]) => value !== null));
    add("monitor", index, monitor.name, [["component", component, "component"], ["monitor", dependsOn, "depends_on"]], (idOf) => ({
      ...DEFAULTS, ...given, maintenance_windows: plainWindows(monitor.maintenance_windows ?? []), component_id: typeof component === "string" ? idOf("component", component) : null, depends_on: typeof dependsOn === "string" ? idOf("monitor", dependsOn) : null,
    }) as { [field: string]: Json });
  }
  for (const [index, { rules = [], ...webhook }] of (file.webhooks ?? []).entries()) {
    add("webhook", index, webhook.name, rules.map(({ component }, at) => ["component", component, `rules/${at}/component`]), (idOf) => ({
      ...webhook, rules: rules.map(({ component, ...rule }) => wholeRule({ ...(rule as { [field: string]: Json }), component_id: component === null ? null : idOf("component", component) })),
    }));
  }
  return found;
}
