import type { Texts } from "./texts.js";

export const spanish: Texts = {
  name: "Español", languages: "Idiomas",
  overall: { none: "Todos los sistemas funcionan", maintenance: "Mantenimiento en curso", minor: "Algunos sistemas están degradados", major: "Interrupción parcial", critical: "Interrupción grave" },
  component: { operational: "Operativo", under_maintenance: "Mantenimiento", degraded_performance: "Degradado", partial_outage: "Interrupción parcial", major_outage: "Interrupción grave", no_data: "Sin datos" },
  incident: { investigating: "En investigación", identified: "Causa identificada", monitoring: "En observación", resolved: "Resuelto", postmortem: "Análisis posterior" },
  maintenance: { scheduled: "Programado", in_progress: "En curso", verifying: "En verificación", completed: "Completado" },
  impact: { none: "Sin impacto", minor: "Impacto menor", major: "Impacto mayor", critical: "Impacto crítico" },
  skip: "Ir al estado", components: "Componentes", noComponents: "Esta página aún no tiene componentes.", activeIncidents: "Incidentes actuales",
  upcomingMaintenance: "Próximo mantenimiento", activeMaintenance: "Mantenimiento en curso", pastIncidents: "Incidentes anteriores", noIncidents: "Sin incidentes",
  noIncidentsInMonth: "No hubo incidentes este mes.", history: "Historial de incidentes", uptime: "Disponibilidad", calendar: "Calendario", feed: "Fuente", subscribe: "Suscribirse", support: "Obtener ayuda",
  backToPage: "Estado actual", earlier: "Anterior", later: "Siguiente", legend: "Leyenda", today: "Hoy", daysAgo: { one: "hace {n} día", other: "hace {n} días" },
  uptimeShare: "{percent} de disponibilidad", uptimeOver: { one: "{percent} de disponibilidad en {n} día", other: "{percent} de disponibilidad en {n} días" }, troubledDays: { one: "{n} día con interrupciones", other: "{n} días con interrupciones" },
  latency: { one: "Tiempo de respuesta por región, última hora", other: "Tiempo de respuesta por región, últimas {n} horas" },
  noTroubledDays: "sin interrupciones", affects: "Afecta a", window: "{from} a {until}", started: "Inicio", resolved: "Resuelto", lasted: "Duración", postmortem: "Análisis posterior", permalink: "Enlace permanente",
  servedBy: "Servido por {region}", lastChange: "Último cambio {time}", nothingYet: "Aún no se ha publicado nada", timesIn: "Horas en {zone}", timesYours: "Horas en su zona horaria",
  cutOff: "Esta copia está aislada de las demás regiones desde {time}. Lo que muestra puede estar desactualizado.", copied: "Esta es una copia guardada del {time}. Lo que muestra puede estar desactualizado.", stale: "Sin conexión desde hace {age}. Lo que ve puede estar desactualizado.",
  live: "En directo", checked: "Actualizado {ago}", notFoundTitle: "Aquí no hay ninguna página", notFoundText: "Puede que la dirección esté mal escrita o que se haya retirado lo que había aquí.",
  moreUpdates: { one: "{n} actualización anterior", other: "{n} actualizaciones anteriores" }, latestUpdates: "Últimas actualizaciones", earlierUpdates: "Actualizaciones anteriores",
  deletedNote: "Componente retirado", minutes: { one: "{n} minuto", other: "{n} minutos" }, hours: { one: "{n} hora", other: "{n} horas" }, days: { one: "{n} día", other: "{n} días" },
};
