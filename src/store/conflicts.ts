/** What concurrent values of a register become: the one table of rules, and the rules. Pure. */
import type { Json } from "../core/change.js";
import type { Sibling } from "../core/document.js";

export type RuleName = "lww" | "worst" | "siblings" | "incident-status" | "custom";

/** Component statuses from best to worst. */
export const COMPONENT_STATUSES = ["operational", "under_maintenance", "degraded_performance", "partial_outage", "major_outage"] as const;
/** Impacts from least to worst. */
export const IMPACTS = ["none", "minor", "major", "critical"] as const;
/** Incident statuses that end an incident. */
export const CLOSED_STATUSES: readonly Json[] = ["resolved", "postmortem"];

/** Type → field → rule. A field `name.<id>` follows the rule of `name`. What is not listed: the later HLC, siblings kept. */
const RULES: Readonly<Record<string, Readonly<Record<string, RuleName>>>> = {
  component: { status: "worst", position: "lww", show_uptime: "lww", only_show_if_degraded: "lww", group_id: "lww" },
  "component-group": { position: "lww", collapsed: "lww" },
  incident: { status: "incident-status", components: "worst", impact_override: "worst", deliver_notifications: "lww" },
  monitor: {
    type: "lww", interval_seconds: "lww", timeout_ms: "lww", retries: "lww", retry_delay_ms: "lww", regions: "lww", quorum: "lww", confirm_seconds: "lww", recover_seconds: "lww",
    degraded_above_ms: "lww", component_id: "lww", component_status: "lww", open_incident: "lww", depends_on: "lww", paused: "lww",
  },
  watch: { opinion: "lww", verdict: "lww" },
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
  custom: (siblings) => siblings[0],
  worst: (siblings) => siblings.reduce<Sibling | undefined>((worst, sibling) => (worst === undefined || severity(sibling.value) > severity(worst.value) ? sibling : worst), undefined),
  "incident-status": (siblings) => {
    const reopened = siblings.some((sibling) => CLOSED_STATUSES.includes(sibling.was) && !CLOSED_STATUSES.includes(sibling.value));
    return (reopened ? siblings.filter((sibling) => !CLOSED_STATUSES.includes(sibling.value)) : siblings)[0];
  },
};

export function ruleOf(type: string, field: string): RuleName {
  // Types and fields come from peers too: only own members are rules.
  const table = Object.hasOwn(RULES, type) ? RULES[type] : undefined;
  if (table === undefined) return "siblings";
  const name = Object.hasOwn(table, field) ? field : (field.split(".", 1)[0] ?? field);
  return (Object.hasOwn(table, name) ? table[name] : undefined) ?? "siblings";
}

/** The sibling that is shown, or undefined if the register was never written. */
export function shown(type: string, field: string, siblings: readonly Sibling[] | undefined): Sibling | undefined {
  if (siblings === undefined || siblings.length === 0) return undefined;
  return siblings.length === 1 ? siblings[0] : rules[ruleOf(type, field)](siblings);
}
