/** Puts together what takes in the alerts of other monitors at one replica: the routes that hear, and what looks at groups again. */
import type { FeatureRoutes } from "./api/api-config.js";
import { receiveRoutes } from "./features/alerts/receive-routes.js";
import { Settling } from "./features/alerts/settling.js";
import type { ReplicaOptions } from "./main.js";
import type { DataPlane } from "./store/data-plane.js";
import type { IncidentRoom } from "./store/derived-incidents.js";

export interface RunningAlerts {
  readonly routes: FeatureRoutes;
  close(): Promise<void>;
}

export function startAlerts(data: DataPlane, { clock, config, log, metrics, onDefect, timers }: ReplicaOptions, incidents: IncidentRoom): RunningAlerts {
  const settling = new Settling({ data, clock, timers, replica: config.replica, incidents, log: (event, text) => log.warn(event, text), onDefect });
  settling.start();
  return { routes: receiveRoutes({ clock, metrics, incidents }), close: () => settling.stop() };
}
