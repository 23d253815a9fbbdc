/** What a component went through, day by day, as the bars and the calendar show it. */
import { COMPONENT_STATUSES } from "../../store/conflicts.js";
import type { ComponentStatusName } from "../../store/resource-schemas.js";

/** One calendar day of one component. Seconds of no status at all are those of which nothing is known, or that are yet to come. */
export interface ComponentDay {
  /** `2026-11-25`, in the page's time zone. */
  readonly day: string;
  readonly seconds: Readonly<Partial<Record<ComponentStatusName, number>>>;
}

/** The days from one to another, both included, first day first. */
export type DaysOfComponent = (component: string, firstDay: string, lastDay: string) => readonly ComponentDay[];

export type DayState = ComponentStatusName | "no_data";

/** What counts as an outage when a share of uptime is told: a partial one counts for a third. Source: Statuspage's uptime calculation. */
const DOWNTIME_SHARE: Readonly<Partial<Record<ComponentStatusName, number>>> = { major_outage: 1, partial_outage: 0.3 };

/** The worst that a day saw. */
export function stateOfDay({ seconds }: ComponentDay): DayState {
  for (const status of [...COMPONENT_STATUSES].reverse()) if ((seconds[status] ?? 0) > 0) return status;
  return "no_data";
}

/** Statuses other than operational that a day saw, the worst first. */
export function troublesOfDay({ seconds }: ComponentDay): { status: ComponentStatusName; seconds: number }[] {
  return [...COMPONENT_STATUSES].reverse().flatMap((status) => {
    const lasted = seconds[status] ?? 0;
    return status === "operational" || lasted <= 0 ? [] : [{ status, seconds: lasted }];
  });
}

/** A share of one, of the time that anything is known of; undefined if there is none. */
export function uptimeOf(days: readonly ComponentDay[]): number | undefined {
  let known = 0;
  let down = 0;
  for (const { seconds } of days) {
    for (const status of COMPONENT_STATUSES) {
      known += seconds[status] ?? 0;
      down += (seconds[status] ?? 0) * (DOWNTIME_SHARE[status] ?? 0);
    }
  }
  return known === 0 ? undefined : 1 - down / known;
}
