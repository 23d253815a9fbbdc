/** The state of the whole page in one word: the worst of its components' statuses and its open incidents' impacts. */
import { COMPONENT_STATUSES } from "../../store/conflicts.js";
import type { ComponentStatusName } from "../../store/resource-schemas.js";
import type { PublicModel } from "./public-page.js";

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

export function overallIndicator(model: Pick<PublicModel, "components" | "openIncidents" | "activeMaintenances">): Indicator {
  const found: Indicator[] = [
    ...model.components.map(({ status }) => OF_STATUS[status]), ...model.openIncidents.map(({ impact }) => impact),
    ...(model.activeMaintenances.length > 0 ? (["maintenance"] as const) : []),
  ];
  return INDICATORS[found.reduce((worst, indicator) => Math.max(worst, INDICATORS.indexOf(indicator)), 0)] ?? "none";
}
