import type { Texts } from "./texts.js";

export const portuguese: Texts = {
  name: "Português", languages: "Idiomas",
  overall: { none: "Todos os sistemas operacionais", maintenance: "Manutenção em andamento", minor: "Alguns sistemas estão degradados", major: "Interrupção parcial", critical: "Interrupção grave" },
  component: { operational: "Operacional", under_maintenance: "Manutenção", degraded_performance: "Degradado", partial_outage: "Interrupção parcial", major_outage: "Interrupção grave", no_data: "Sem dados" },
  incident: { investigating: "Em investigação", identified: "Causa identificada", monitoring: "Em observação", resolved: "Resolvido", postmortem: "Análise posterior" },
  maintenance: { scheduled: "Programada", in_progress: "Em andamento", verifying: "Em verificação", completed: "Concluída" },
  impact: { none: "Sem impacto", minor: "Impacto menor", major: "Impacto maior", critical: "Impacto crítico" },
  skip: "Ir para o estado", components: "Componentes", noComponents: "Esta página ainda não tem componentes.", activeIncidents: "Incidentes atuais",
  upcomingMaintenance: "Próxima manutenção", activeMaintenance: "Manutenção em andamento", pastIncidents: "Incidentes anteriores", noIncidents: "Nenhum incidente",
  noIncidentsInMonth: "Nenhum incidente foi relatado neste mês.", history: "Histórico de incidentes", uptime: "Disponibilidade", calendar: "Calendário", feed: "Feed", subscribe: "Assinar", support: "Obter ajuda",
  backToPage: "Estado atual", earlier: "Anterior", later: "Seguinte", legend: "Legenda", today: "Hoje", daysAgo: { one: "há {n} dia", other: "há {n} dias" },
  uptimeShare: "{percent} de disponibilidade", uptimeOver: { one: "{percent} de disponibilidade em {n} dia", other: "{percent} de disponibilidade em {n} dias" }, troubledDays: { one: "{n} dia com interrupções", other: "{n} dias com interrupções" },
  latency: { one: "Tempo de resposta por região, última hora", other: "Tempo de resposta por região, últimas {n} horas" },
  noTroubledDays: "sem interrupções", affects: "Afeta", window: "{from} a {until}", started: "Início", resolved: "Resolvido", lasted: "Duração", postmortem: "Análise posterior", permalink: "Link permanente",
  servedBy: "Servido por {region}", lastChange: "Última alteração {time}", nothingYet: "Ainda nada foi publicado", timesIn: "Horários em {zone}", timesYours: "Horários no seu fuso",
  cutOff: "Esta cópia está isolada das outras regiões desde {time}. O que ela mostra pode estar desatualizado.", copied: "Esta é uma cópia salva de {time}. O que ela mostra pode estar desatualizado.", stale: "Sem conexão há {age}. O que você vê pode estar desatualizado.",
  live: "Ao vivo", checked: "Atualizado {ago}", notFoundTitle: "Não há página aqui", notFoundText: "O endereço pode estar errado, ou o que havia aqui foi removido.",
  moreUpdates: { one: "{n} atualização anterior", other: "{n} atualizações anteriores" }, latestUpdates: "Últimas atualizações", earlierUpdates: "Atualizações anteriores",
  deletedNote: "Componente removido", minutes: { one: "{n} minuto", other: "{n} minutos" }, hours: { one: "{n} hora", other: "{n} horas" }, days: { one: "{n} dia", other: "{n} dias" },
};
