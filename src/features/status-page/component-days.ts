/** What a component went through, day by day, as the bars and the calendar show it. */
import { uptimeOfSeconds } from "../../store/component-history.js";
import { COMPONENT_STATUSES } from "../../store/conflicts.js";
import type { ComponentStatusName } from "../../store/resource-schemas.js";

/** One calendar day of one component. Seconds of no status at all are those of which nothing is known, or that are yet to come. */
export interface ComponentDay {
  /** `2026-11-25`, in the page's time zone. */
  readonly day: string;
  readonly seconds: Readonly<Partial<Record<ComponentStatusName, number>>>;
}

/** The days from one to another, both included, first day first; none of a component that is not known. May have to be read. */
export type DaysOfComponent = (component: string, firstDay: string, lastDay: string) => readonly ComponentDay[] | Promise<readonly ComponentDay[]>;

export type DayState = ComponentStatusName | "no_data";

const WORST_FIRST: readonly ComponentStatusName[] = [...COMPONENT_STATUSES].reverse();

/** The worst that a day saw. */
export function stateOfDay({ seconds }: ComponentDay): DayState {
  for (const status of WORST_FIRST) if ((seconds[status] ?? 0) > 0) return status;
  return "no_data";
}

/** Statuses other than operational that a day saw, the worst first. */
export function troublesOfDay({ seconds }: ComponentDay): { status: ComponentStatusName; seconds: number }[] {
  return WORST_FIRST.flatMap((status) => {
    const lasted = seconds[status] ?? 0;
    return status === "operational" || lasted <= 0 ? [] : [{ status, seconds: lasted }];
  });
}

/** A share of one, of the time that anything is known of; undefined if there is none. */
export function uptimeOf(days: readonly ComponentDay[]): number | undefined {
  const sum = { operational: 0, under_maintenance: 0, degraded_performance: 0, partial_outage: 0, major_outage: 0, no_data: 0 };
  for (const { seconds } of days) for (const status of COMPONENT_STATUSES) sum[status] += seconds[status] ?? 0;
  return uptimeOfSeconds(sum) ?? undefined;
}
