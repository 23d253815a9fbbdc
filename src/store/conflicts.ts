/** What concurrent values of a register become: the one table of rules, the rules, and what a page may choose instead. Pure. */
import type { Json } from "../core/change.js";
import { contenders } from "../core/creation.js";
import type { Section, Sibling } from "../core/document.js";

export type RuleName = "lww" | "worst" | "siblings" | "incident-status";

/** Component statuses from best to worst. */
export const COMPONENT_STATUSES = ["operational", "under_maintenance", "degraded_performance", "partial_outage", "major_outage"] as const;
/** Impacts from least to worst. */
export const IMPACTS = ["none", "minor", "major", "critical"] as const;
/** Incident statuses that end an incident. */
export const CLOSED_STATUSES: readonly Json[] = ["resolved", "postmortem"];

/** Type → field → rule. A field `name.<id>` follows the rule of `name`. What is not listed: the later HLC, siblings kept. */
const RULES: Readonly<Record<string, Readonly<Record<string, RuleName>>>> = {
  component: { status: "worst", position: "lww", show_uptime: "lww", show_latency: "lww", only_show_if_degraded: "lww", group_id: "lww" },
  "component-group": { position: "lww", collapsed: "lww" },
  incident: { status: "incident-status", components: "worst", impact_override: "worst", deliver_notifications: "lww" },
  monitor: {
    type: "lww", interval_seconds: "lww", timeout_ms: "lww", retries: "lww", retry_delay_ms: "lww", regions: "lww", quorum: "lww", confirm_seconds: "lww", recover_seconds: "lww",
    degraded_above_ms: "lww", component_id: "lww", component_status: "lww", open_incident: "lww", depends_on: "lww", paused: "lww", maintenance_windows: "lww",
  },
  watch: { opinion: "lww", verdict: "lww", hears: "lww" },
  webhook: { name: "lww", source: "lww", rules: "lww" },
  "alert-group": { alert: "lww", source: "lww", group_key: "lww", group_labels: "lww", external_url: "lww", receiver: "lww", truncated_alerts: "lww" },
  maintenance: { status: "lww", components: "worst", auto_in_progress: "lww", auto_completed: "lww", scheduled_for: "lww", scheduled_until: "lww" },
};

export type Rule = (siblings: readonly Sibling[]) => Sibling | undefined;

const severity = (value: Json): number => {
  const status = (COMPONENT_STATUSES as readonly Json[]).indexOf(value);
  return status >= 0 ? status : (IMPACTS as readonly Json[]).indexOf(value);
};

/** Siblings come latest first, so the first of the best wins. */
const rules: Record<RuleName, Rule> = {
  lww: (siblings) => siblings[0],
  siblings: (siblings) => siblings[0],
  worst: (siblings) => siblings.reduce<Sibling | undefined>((worst, sibling) => (worst === undefined || severity(sibling.value) > severity(worst.value) ? sibling : worst), undefined),
  "incident-status": (siblings) => {
    const reopened = siblings.some((sibling) => CLOSED_STATUSES.includes(sibling.was) && !CLOSED_STATUSES.includes(sibling.value));
    return (reopened ? siblings.filter((sibling) => !CLOSED_STATUSES.includes(sibling.value)) : siblings)[0];
  },
};

/** Rules that a page may choose beside the built-in ones, by the name behind `custom:`. Pure, and the same in every replica. */
const HANDLERS: Readonly<Record<string, Rule>> = {
  /** The first of the concurrent writes. */
  earliest: (siblings) => siblings.at(-1),
  /** The best of concurrent statuses or impacts; of equal ones the latest. */
  best: (siblings) => siblings.reduce<Sibling | undefined>((best, sibling) => (best === undefined || severity(sibling.value) < severity(best.value) ? sibling : best), undefined),
};

const PLAIN = ["lww", "siblings", "custom:earliest"] as const;
const RANKED = [...PLAIN, "worst", "custom:best"] as const;

/** What a page may choose for which field. A list's order is kept without looking at pages, so `position` is not among them. */
export const CHOICES: Readonly<Record<string, readonly string[]>> = {
  "component.name": PLAIN, "component.description": PLAIN, "component.group_id": PLAIN, "component.status": RANKED,
  "component.show_uptime": PLAIN, "component.show_latency": PLAIN, "component.only_show_if_degraded": PLAIN,
  "component-group.name": PLAIN, "component-group.description": PLAIN, "component-group.collapsed": PLAIN,
  "incident.name": PLAIN, "incident.status": [...PLAIN, "incident-status"], "incident.impact_override": RANKED, "incident.components": RANKED,
  "incident.body": PLAIN, "incident.deliver_notifications": PLAIN,
  "maintenance.name": PLAIN, "maintenance.status": PLAIN, "maintenance.components": RANKED, "maintenance.body": PLAIN,
  "maintenance.scheduled_for": PLAIN, "maintenance.scheduled_until": PLAIN,
};

/** What a page chose: `<type>.<field>` → rule. Names that are not among the choices (of another version, say) choose nothing. */
export type PageRules = ReadonlyMap<string, string>;

export function isChoice(field: string, rule: unknown): boolean {
  return typeof rule === "string" && Object.hasOwn(CHOICES, field) && CHOICES[field]?.includes(rule) === true;
}

/** The name under which a page chooses for a register: a field `name.<id>` goes by `name`. */
function choiceOf(type: string, field: string, page: PageRules): string | undefined {
  const own = page.get(`${type}.${field}`) ?? page.get(`${type}.${field.split(".", 1)[0] ?? field}`);
  return own !== undefined && isChoice(`${type}.${field.split(".", 1)[0] ?? field}`, own) ? own : undefined;
}

/** The rule of a field, as a page chose it or as it is built in. */
export function ruleOf(type: string, field: string, page?: PageRules): string {
  return (page === undefined ? undefined : choiceOf(type, field, page)) ?? builtInRule(type, field);
}

/** True if a page's choice decides about a field. */
export function isChosen(type: string, field: string, page: PageRules | undefined): boolean {
  return page !== undefined && choiceOf(type, field, page) !== undefined;
}

function builtInRule(type: string, field: string): RuleName {
  // Types and fields come from peers too: only own members are rules.
  const table = Object.hasOwn(RULES, type) ? RULES[type] : undefined;
  if (table === undefined) return "siblings";
  const name = Object.hasOwn(table, field) ? field : (field.split(".", 1)[0] ?? field);
  return (Object.hasOwn(table, name) ? table[name] : undefined) ?? "siblings";
}

const CUSTOM = "custom:";

function ruleNamed(name: string): Rule {
  if (name.startsWith(CUSTOM)) return HANDLERS[name.slice(CUSTOM.length)] ?? rules.lww;
  return rules[name as RuleName];
}

/** The sibling that is shown, or undefined if the register was never written. `page`: looked at only where there is something to choose. */
export function shown(type: string, field: string, siblings: readonly Sibling[] | undefined, page?: () => PageRules | undefined): Sibling | undefined {
  if (siblings === undefined || siblings.length === 0) return undefined;
  return siblings.length === 1 ? siblings[0] : ruleNamed(ruleOf(type, field, page?.()))(siblings);
}

/** The sibling of a section's register that is shown. Values of creations are among the candidates only where nobody has edited the field. */
export function shownIn(type: string, section: Section | undefined, field: string, page?: () => PageRules | undefined): Sibling | undefined {
  const siblings = section?.registers.get(field);
  return section === undefined || siblings === undefined ? undefined : shown(type, field, contenders(siblings, section.creations), page);
}

/** What a page's registers `conflict_rules.<type>.<field>` choose. `shownIn`: what a register shows. */
export const RULES_FIELD = "conflict_rules";
export function pageRules(fields: Iterable<string>, shownIn: (field: string) => Json): PageRules {
  const chosen = new Map<string, string>();
  for (const field of fields) {
    const value = field.startsWith(`${RULES_FIELD}.`) ? shownIn(field) : null;
    if (typeof value === "string") chosen.set(field.slice(RULES_FIELD.length + 1), value);
  }
  return chosen;
}
