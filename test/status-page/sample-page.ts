/** A page as a snapshot would give it, for the renderers: groups, bars of every kind, an open incident, a maintenance to come, and a past. */
import type { ComponentDay } from "../../src/features/status-page/component-days.js";
import { Language, type LanguageCode } from "../../src/features/status-page/language.js";
import type { PublicComponent, PublicEvent, PublicGroup, PublicModel, PublicPage, PublicUpdate } from "../../src/features/status-page/public-page.js";
import { statusParts, type LatencyOfComponent, type StatusViewProps } from "../../src/features/status-page/status-view.js";
import { themeOf } from "../../src/features/status-page/theme.js";
import type { ViewContext } from "../../src/features/status-page/view-context.js";
import { dayAfter } from "../../src/store/zoned-days.js";

export const NOW = "2026-11-25T21:40:00.000Z";
const AGO = (hours: number) => new Date(Date.parse(NOW) - hours * 3_600_000).toISOString();

export const samplePage: PublicPage = {
  id: "sample", name: "Sample Cloud", url: "https://status.example.com", timeZone: "UTC", description: "How the services of the sample cloud are doing, and what we do about it.",
  supportUrl: "https://example.com/support", theme: { brand_color: "#5b3df5" }, language: "en",
};

export const group = (id: string, name: string, position: number, more: Partial<PublicGroup> = {}): PublicGroup => ({ id, name, description: null, position, collapsed: false, createdAt: AGO(5_000), updatedAt: AGO(5_000), ...more });
export const component = (id: string, name: string, position: number, more: Partial<PublicComponent> = {}): PublicComponent => ({
  id, name, description: null, groupId: null, position, status: "operational", showUptime: true, showLatency: false, onlyShowIfDegraded: false, createdAt: AGO(5_000), updatedAt: AGO(20), ...more,
});
export const update = (id: string, status: string, body: string, hoursAgo: number): PublicUpdate => ({ id, status, body, affected: [], createdAt: AGO(hoursAgo), displayAt: AGO(hoursAgo), updatedAt: AGO(hoursAgo), deliverNotifications: true });
export const incident = (id: string, name: string, more: Partial<PublicEvent> = {}): PublicEvent => ({
  kind: "incident", id, name, status: "investigating", impact: "minor", createdAt: AGO(1), updatedAt: AGO(1), startedAt: AGO(1), monitoringAt: null, endedAt: null, scheduledFor: null, scheduledUntil: null,
  shortlink: `https://status.example.com/incidents/${id}`, components: [], updates: [], updateCount: more.updates?.length ?? 0, postmortem: null, ...more,
});

export const sampleModel: PublicModel = {
  page: samplePage,
  groups: [group("regions", "Regions", 2), group("tools", "Tools", 5, { collapsed: true })],
  components: [
    component("api", "API", 1, { description: "Everything under api.example.com", status: "degraded_performance" }),
    component("us", "North America", 1, { groupId: "regions" }), component("eu", "Europe", 2, { groupId: "regions", status: "partial_outage" }), component("ap", "Asia Pacific", 3, { groupId: "regions" }),
    component("web", "Website", 3), component("queue", "Background jobs", 4, { status: "under_maintenance" }),
    component("cli", "Command line", 1, { groupId: "tools" }), component("docs", "Documentation", 2, { groupId: "tools", showUptime: false }),
    component("hidden", "Hidden while it works", 9, { onlyShowIfDegraded: true }),
  ],
  openIncidents: [incident("slow", "Slow responses in Europe", {
    status: "identified", impact: "major", startedAt: AGO(1.4), components: [{ id: "api", name: "API", status: "degraded_performance" }, { id: "eu", name: "Europe", status: "partial_outage" }],
    updates: [
      update("u2", "identified", "A **network path** between two data centres loses packets. We are moving traffic away from it; see [the plan](https://example.com/plan).", 0.6),
      update("u1", "investigating", "Some requests in Europe take longer than usual, or fail. We are looking into it.", 1.4),
    ],
  })],
  activeMaintenances: [incident("jobs", "New version of the job runner", {
    kind: "maintenance", status: "in_progress", impact: "maintenance", scheduledFor: AGO(0.3), scheduledUntil: AGO(-1.7), components: [{ id: "queue", name: "Background jobs", status: "under_maintenance" }],
    updates: [update("m1", "in_progress", "Jobs wait up to ten minutes.", 0.3)],
  })],
  upcomingMaintenances: [incident("db", "Database upgrade", {
    kind: "maintenance", status: "scheduled", impact: "maintenance", scheduledFor: AGO(-50), scheduledUntil: AGO(-52), components: [{ id: "us", name: "North America", status: "under_maintenance" }],
    updates: [update("s1", "scheduled", "Writes pause for up to two minutes.", 30)],
  })],
  updatedAt: AGO(0.3), isUntouched: false, atMs: Date.parse(NOW),
};

export const samplePast: readonly PublicEvent[] = [
  incident("login", "Log-in failed for some users", { status: "resolved", impact: "critical", startedAt: AGO(76), endedAt: AGO(74.2), updates: [update("l1", "resolved", "Log-in works again. A certificate had run out.", 74.2)] }),
  incident("mail", "Delayed e-mail", { status: "resolved", impact: "minor", startedAt: AGO(200), endedAt: AGO(196), updates: [update("e1", "resolved", "All delayed e-mail was delivered.", 196)] }),
];

const WHOLE = 86_400;
/** Every kind of day, the same for every run. */
export const sampleDays = (id: string, first: string, last: string): readonly ComponentDay[] => {
  const days: ComponentDay[] = [];
  const seed = [...id].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7) % 97;
  for (let day = first; day <= last; day = dayAfter(day)) {
    const kind = (Number(day.slice(-2)) * 7 + Number(day.slice(5, 7)) * 13 + seed) % 61;
    if (day < "2026-09-05") days.push({ day, seconds: {} });
    else if (kind === 3) days.push({ day, seconds: { operational: WHOLE - 2_400, major_outage: 2_400 } });
    else if (kind === 11) days.push({ day, seconds: { operational: WHOLE - 720, partial_outage: 720 } });
    else if (kind === 19) days.push({ day, seconds: { operational: WHOLE - 5_400, degraded_performance: 5_400 } });
    else if (kind === 23) days.push({ day, seconds: { operational: WHOLE - 7_200, under_maintenance: 7_200 } });
    else days.push({ day, seconds: { operational: WHOLE } });
  }
  return days;
};

/** A day of two monitors in three regions; one region began an hour ago, and one missed some hours. */
export const sampleLatency: LatencyOfComponent = (id) => ["Home page", "Checkout"].slice(0, id === "eu" ? 2 : 1).map((name, nth) => ({
  name,
  lines: [["ap-south", 160], ["eu-west", 12], ["us-east", 84]].map(([region, base], at) => ({
    region: String(region),
    medians: Array.from({ length: 24 }, (_none, hour) => (at === 0 && hour < 23 ? null : at === 2 && hour > 8 && hour < 12 ? null : Number(base) * (1 + ((hour * 7 + nth * 3 + at * 5) % 11) / 20))),
  })),
}));

export function sampleContext(code: LanguageCode = "en", more: Partial<ViewContext> = {}): ViewContext {
  return {
    page: samplePage, theme: themeOf(samplePage.theme), language: new Language(code, "UTC"), base: "/pages/sample", region: "eu-west", cutOffSince: null, subscribing: false,
    assets: { style: "/assets/page.css", script: "/assets/page.js", icon: () => "/assets/icon.svg", preview: (indicator) => `/assets/preview-${indicator}.png` }, ...more,
  };
}

export async function joined(parts: AsyncIterable<string>): Promise<string> {
  let text = "";
  for await (const part of parts) text += part;
  return text;
}

type Shown = Pick<StatusViewProps, "context"> & Partial<StatusViewProps>;

export function sampleProps(more: Shown): StatusViewProps {
  return { model: sampleModel, past: samplePast, daysOf: sampleDays, latencyOf: sampleLatency, barDays: 90, pastDays: 14, ...more };
}

/** The sample page as it is sent. */
export function sampleHtml(more: Shown): Promise<string> {
  return joined(statusParts(sampleProps(more)));
}
