/** Every word that a page says by itself, in one language. Where a text counts something, its forms are named by `Intl.PluralRules`. */
import type { ComponentStatusName } from "../../../store/resource-schemas.js";
import type { Indicator } from "../overall-status.js";
import type { Impact, IncidentStatusName, MaintenanceStatusName } from "../public-page.js";

/** `{n}` stands for the number. */
export type Plural = { readonly other: string } & { readonly [form in Exclude<Intl.LDMLPluralRule, "other">]?: string };

export interface Texts {
  /** Of the language itself, as its speakers write it. */
  readonly name: string;
  readonly languages: string;
  readonly overall: Readonly<Record<Indicator, string>>;
  readonly component: Readonly<Record<ComponentStatusName | "no_data", string>>;
  readonly incident: Readonly<Record<IncidentStatusName, string>>;
  readonly maintenance: Readonly<Record<MaintenanceStatusName, string>>;
  readonly impact: Readonly<Record<Impact, string>>;
  readonly skip: string;
  readonly components: string;
  readonly noComponents: string;
  readonly activeIncidents: string;
  readonly upcomingMaintenance: string;
  readonly activeMaintenance: string;
  readonly pastIncidents: string;
  readonly noIncidents: string;
  readonly noIncidentsInMonth: string;
  readonly history: string;
  readonly uptime: string;
  readonly calendar: string;
  readonly feed: string;
  readonly subscribe: string;
  readonly support: string;
  readonly backToPage: string;
  readonly earlier: string;
  readonly later: string;
  readonly legend: string;
  readonly today: string;
  readonly daysAgo: Plural;
  /** `{percent}`. */
  readonly uptimeShare: string;
  /** `{percent}`, `{n}` days. */
  readonly uptimeOver: Plural;
  /** Over the past `{n}` hours. */
  readonly latency: Plural;
  readonly troubledDays: Plural;
  readonly noTroubledDays: string;
  readonly affects: string;
  /** `{from}` and `{until}`. */
  readonly window: string;
  readonly started: string;
  readonly resolved: string;
  readonly lasted: string;
  readonly postmortem: string;
  readonly permalink: string;
  /** `{region}`. */
  readonly servedBy: string;
  /** `{time}`. */
  readonly lastChange: string;
  /** In the place of that, on a page that nobody has touched yet. */
  readonly nothingYet: string;
  /** `{zone}`. */
  readonly timesIn: string;
  readonly timesYours: string;
  /** `{time}`: cut off since then. */
  readonly cutOff: string;
  /** `{time}`: a static copy of then. */
  readonly copied: string;
  /** `{age}`: a span of time. `{ago}`: the same, as of the past (`3 hours ago`). For the script. */
  readonly stale: string;
  readonly live: string;
  /** `{ago}`. For the script. */
  readonly checked: string;
  readonly notFoundTitle: string;
  readonly notFoundText: string;
  /** A link to updates of an incident that are not shown. */
  readonly moreUpdates: Plural;
  readonly latestUpdates: string;
  readonly earlierUpdates: string;
  readonly deletedNote: string;
  readonly minutes: Plural;
  readonly hours: Plural;
  readonly days: Plural;
}
