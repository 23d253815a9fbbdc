/** Which monitors' latencies a page shows: those that watch a component with `show_latency`. */
import { watchLimits } from "../core/limits.js";
import type { Snapshot } from "./data-plane.js";

export interface ShownMonitor {
  readonly id: string;
  readonly name: string;
  readonly component: string;
}

/** By name. Looks at no monitor where no component asks for it. */
export function shownMonitors(snapshot: Snapshot, page: string): readonly ShownMonitor[] {
  const components = new Set(snapshot.list(page, "component").filter(({ key }) => snapshot.document(key)?.value("show_latency") === true).map(({ id }) => id));
  if (components.size === 0) return [];
  const shown = snapshot.list(page, "monitor").flatMap(({ key, id }): ShownMonitor[] => {
    const document = snapshot.document(key);
    const component = document?.value("component_id");
    return document !== undefined && typeof component === "string" && components.has(component) ? [{ id, name: document.text("name"), component }] : [];
  });
  return shown.sort((a, b) => (a.name === b.name ? (a.id < b.id ? -1 : 1) : a.name < b.name ? -1 : 1)).slice(0, watchLimits.latencyMonitorsMax);
}
