/** Which component an alert is about: rules over its labels, tried in order; the first that fits decides. */
import { RE2JS } from "re2js";
import { Type, type Static } from "typebox";
import type { FaultDetail } from "../../core/errors.js";
import { keyOf } from "../../core/document.js";
import { alertLimits } from "../../core/limits.js";
import type { Snapshot } from "../../store/data-plane.js";
import { lookUp } from "../../store/resource.js";
import { closed, ComponentStatus, Name, type ComponentStatusName } from "../../store/resource-schemas.js";
import { nullable } from "../../store/route-schemas.js";
import type { Labels } from "./alert.js";

const OPERATORS = ["=", "!=", "=~", "!~"] as const;

const Matcher = closed({
  name: Type.String({ minLength: 1, maxLength: 255, description: "A label." }),
  operator: Type.Optional(Type.Enum([...OPERATORS], { description: "As in Alertmanager; `=~` and `!~` take a whole regular expression of RE2. Default `=`." })),
  value: Type.String({ maxLength: 1_024 }),
});
type Matcher = Static<typeof Matcher>;

export const Rule = closed({
  matchers: Type.Array(Matcher, { minItems: 1, maxItems: alertLimits.matchersMax, description: "All must fit. A label that is not there is an empty text." }),
  component_id: nullable(Type.String({ minLength: 1, maxLength: 64, description: "Null: what fits is known, and shows nothing." })),
  component_status: Type.Optional(ComponentStatus),
  incident_name: Type.Optional(nullable(Name)),
  show_annotations: Type.Optional(Type.Boolean({ description: "Whether `summary` and `description` of the alert are published in the incident. Default false." })),
});
export type Rule = Static<typeof Rule>;
export const Rules = Type.Array(Rule, { maxItems: alertLimits.rulesMax });

/** Compiled once: a notification of a thousand alerts asks for each again and again. */
const compiled = new Map<string, RE2JS>();

function patternOf(text: string): RE2JS {
  let pattern = compiled.get(text);
  if (pattern === undefined) {
    pattern = RE2JS.compile(text);
    if (compiled.size >= alertLimits.patternsKept) compiled.clear();
    compiled.set(text, pattern);
  }
  return pattern;
}

function fits({ name, operator = "=", value }: Matcher, labels: Labels): boolean {
  const label = Object.hasOwn(labels, name) ? (labels[name] ?? "") : "";
  switch (operator) {
    case "=":
      return label === value;
    case "!=":
      return label !== value;
    default:
      return patternOf(value).matches(label) === (operator === "=~");
  }
}

export interface Mapped {
  readonly component: string;
  readonly status: ComponentStatusName;
  readonly rule: Rule;
}

/** The component of an alert; `ignored` where a rule says that it shows nothing, `unmapped` where no rule fits, or its component is gone. */
export function mapAlert(snapshot: Snapshot, page: string, rules: readonly Rule[], labels: Labels): Mapped | "ignored" | "unmapped" {
  const rule = rules.find(({ matchers }) => matchers.every((matcher) => fits(matcher, labels)));
  if (rule === undefined) return "unmapped";
  if (rule.component_id === null) return "ignored";
  if (lookUp(snapshot, keyOf(page, "component", rule.component_id)) === undefined) return "unmapped";
  return { component: rule.component_id, status: rule.component_status ?? "major_outage", rule };
}

/** What a schema cannot say of rules. */
export function ruleFaults(snapshot: Snapshot, page: string, rules: readonly Rule[]): FaultDetail[] {
  return rules.flatMap(({ component_id: component, matchers }, index) => [
    ...(component !== null && lookUp(snapshot, keyOf(page, "component", component)) === undefined ? [{ pointer: `#/rules/${index}/component_id`, message: "there is no such component" }] : []),
    ...matchers.flatMap(({ operator, value }, at) => (operator?.endsWith("~") === true && !isPattern(value) ? [{ pointer: `#/rules/${index}/matchers/${at}/value`, message: "is no regular expression that RE2 takes" }] : [])),
  ]);
}

function isPattern(text: string): boolean {
  try {
    patternOf(text);
    return true;
  } catch {
    return false;
  }
}
