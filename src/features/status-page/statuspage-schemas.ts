/** Schemas of Statuspage's public API v2, for the API's description. */
import { Type } from "typebox";
import { nullable } from "../../store/route-schemas.js";

const text = Type.String();
const time = Type.String({ description: "RFC 3339, in the page's time zone." });

const Page = Type.Object({ id: text, name: text, url: text, time_zone: text, updated_at: time });
const Status = Type.Object({ indicator: Type.Enum(["none", "maintenance", "minor", "major", "critical"]), description: text });
const Component = Type.Object({
  id: text, name: text, status: text, created_at: time, updated_at: time, position: Type.Integer(), description: nullable(text), showcase: Type.Boolean(), start_date: nullable(text), group_id: nullable(text),
  page_id: text, group: Type.Boolean(), only_show_if_degraded: Type.Boolean(), components: Type.Optional(Type.Array(text)),
});
const Update = Type.Object({
  id: text, status: text, body: text, incident_id: text, created_at: time, updated_at: time, display_at: time,
  affected_components: nullable(Type.Array(Type.Object({ code: text, name: text, old_status: text, new_status: text }))), deliver_notifications: Type.Boolean(), custom_tweet: Type.Null(), tweet_id: Type.Null(),
});
const incident = {
  id: text, name: text, status: text, created_at: time, updated_at: time, monitoring_at: nullable(time), resolved_at: nullable(time), impact: text, shortlink: text, started_at: time, page_id: text,
  incident_updates: Type.Array(Update), components: Type.Array(Component), reminder_intervals: Type.Null(),
};
const Incident = Type.Object(incident);
const Maintenance = Type.Object({ ...incident, scheduled_for: time, scheduled_until: time });

export const SummaryAnswer = Type.Object({ page: Page, components: Type.Array(Component), incidents: Type.Array(Incident), scheduled_maintenances: Type.Array(Maintenance), status: Status });
export const StatusAnswer = Type.Object({ page: Page, status: Status });
export const ComponentsAnswer = Type.Object({ page: Page, components: Type.Array(Component) });
export const IncidentsAnswer = Type.Object({ page: Page, incidents: Type.Array(Incident) });
export const MaintenancesAnswer = Type.Object({ page: Page, scheduled_maintenances: Type.Array(Maintenance) });
export const BadgeAnswer = Type.Object({ schemaVersion: Type.Literal(1), label: text, message: text, color: text });
