/**
 * The state of the whole page in one word: the worst of its components' statuses, its open incidents' impacts, and maintenance under way. The page, its API,
 * badges, the widget and the events of its stream all say this.
 */
import { COMPONENT_STATUSES } from "../../store/conflicts.js";
import type { ComponentStatusName } from "../../store/resource-schemas.js";
import type { Snapshot } from "../../store/data-plane.js";
import { readState, type Presenters, type PublicModel } from "./public-page.js";

/** From best to worst. */
export const INDICATORS = ["none", "maintenance", "minor", "major", "critical"] as const;
export type Indicator = (typeof INDICATORS)[number];

const OF_STATUS: Readonly<Record<ComponentStatusName, Indicator>> = {
  operational: "none", under_maintenance: "maintenance", degraded_performance: "minor", partial_outage: "major", major_outage: "critical",
};

export function indicatorOfStatus(status: ComponentStatusName): Indicator {
  return OF_STATUS[status];
}

export function worstStatus(statuses: readonly ComponentStatusName[]): ComponentStatusName {
  return COMPONENT_STATUSES[statuses.reduce((worst, status) => Math.max(worst, COMPONENT_STATUSES.indexOf(status)), 0)] ?? "operational";
}

/** What decides. */
export type PageState = Pick<PublicModel, "components" | "openIncidents" | "activeMaintenances">;

/** Source: Statuspage's public API, "status". */
const DESCRIPTIONS: Readonly<Record<Indicator, string>> = {
  none: "All Systems Operational", maintenance: "Service Under Maintenance", minor: "Minor Service Outage", major: "Partial System Outage", critical: "Major Service Outage",
};

export function overallIndicator(model: PageState): Indicator {
  const found: Indicator[] = [
    ...model.components.map(({ status }) => OF_STATUS[status]), ...model.openIncidents.map(({ impact }) => impact),
    ...(model.activeMaintenances.length > 0 ? (["maintenance"] as const) : []),
  ];
  return INDICATORS[found.reduce((worst, indicator) => Math.max(worst, INDICATORS.indexOf(indicator)), 0)] ?? "none";
}

/** The word and a sentence in English, as Statuspage tells them. */
export function overallStatus(model: PageState): { readonly indicator: Indicator; readonly description: string } {
  const indicator = overallIndicator(model);
  // Statuspage tells a component that is slow from one that is partly down.
  const isSlow = indicator === "minor" && model.openIncidents.length === 0;
  return { indicator, description: isSlow ? "Partially Degraded Service" : DESCRIPTIONS[indicator] };
}

/** The same from the documents; null if there is no such page. */
export function readOverallStatus(snapshot: Snapshot, presenters: Presenters, page: string): ReturnType<typeof overallStatus> | null {
  const state = readState(snapshot, presenters, page);
  return state === undefined ? null : overallStatus(state);
}
