import type { Texts } from "./texts.js";

export const english: Texts = {
  name: "English", languages: "Languages",
  overall: { none: "All systems operational", maintenance: "Maintenance under way", minor: "Some systems are degraded", major: "Partial outage", critical: "Major outage" },
  component: { operational: "Operational", under_maintenance: "Maintenance", degraded_performance: "Degraded", partial_outage: "Partial outage", major_outage: "Major outage", no_data: "No data" },
  incident: { investigating: "Investigating", identified: "Identified", monitoring: "Monitoring", resolved: "Resolved", postmortem: "Postmortem" },
  maintenance: { scheduled: "Scheduled", in_progress: "In progress", verifying: "Verifying", completed: "Completed" },
  impact: { none: "No impact", minor: "Minor impact", major: "Major impact", critical: "Critical impact" },
  skip: "Skip to the status", components: "Components", noComponents: "No components have been added to this page yet.", activeIncidents: "Current incidents",
  upcomingMaintenance: "Upcoming maintenance", activeMaintenance: "Maintenance in progress", pastIncidents: "Past incidents", noIncidents: "No incidents reported",
  noIncidentsInMonth: "No incidents were reported in this month.", history: "Incident history", uptime: "Uptime", calendar: "Calendar", feed: "Feed", subscribe: "Subscribe", support: "Get support",
  backToPage: "Current status", earlier: "Earlier", later: "Later", legend: "Legend", today: "Today", daysAgo: { one: "{n} day ago", other: "{n} days ago" },
  uptimeShare: "{percent} uptime", uptimeOver: { one: "{percent} uptime over {n} day", other: "{percent} uptime over {n} days" }, troubledDays: { one: "{n} day with disruptions", other: "{n} days with disruptions" },
  latency: { one: "Response time by region, past hour", other: "Response time by region, past {n} hours" },
  noTroubledDays: "no disruptions", affects: "Affects", window: "{from} to {until}", started: "Started", resolved: "Resolved", lasted: "Lasted", postmortem: "Postmortem", permalink: "Permanent link",
  servedBy: "Served by {region}", lastChange: "Last change {time}", nothingYet: "Nothing has been published yet", timesIn: "Times are in {zone}", timesYours: "Times are in your time zone",
  cutOff: "This copy has been cut off from the other regions since {time}. What it shows may be out of date.", copied: "This is a saved copy from {time}. What it shows may be out of date.", stale: "No connection for {age}. What you see may be out of date.",
  live: "Live", checked: "Up to date {ago}", notFoundTitle: "There is no page here", notFoundText: "The address may be mistyped, or what stood here was removed.",
  moreUpdates: { one: "{n} earlier update", other: "{n} earlier updates" }, latestUpdates: "Latest updates", earlierUpdates: "Earlier updates",
  deletedNote: "Removed component", minutes: { one: "{n} minute", other: "{n} minutes" }, hours: { one: "{n} hour", other: "{n} hours" }, days: { one: "{n} day", other: "{n} days" },
};
