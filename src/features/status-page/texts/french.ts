import type { Texts } from "./texts.js";

export const french: Texts = {
  name: "Français", languages: "Langues",
  overall: { none: "Tous les systèmes fonctionnent", maintenance: "Maintenance en cours", minor: "Certains systèmes sont dégradés", major: "Panne partielle", critical: "Panne majeure" },
  component: { operational: "Opérationnel", under_maintenance: "Maintenance", degraded_performance: "Dégradé", partial_outage: "Panne partielle", major_outage: "Panne majeure", no_data: "Aucune donnée" },
  incident: { investigating: "Analyse en cours", identified: "Cause identifiée", monitoring: "Sous surveillance", resolved: "Résolu", postmortem: "Rétrospective" },
  maintenance: { scheduled: "Planifiée", in_progress: "En cours", verifying: "Vérification", completed: "Terminée" },
  impact: { none: "Sans impact", minor: "Impact mineur", major: "Impact majeur", critical: "Impact critique" },
  skip: "Aller à l’état", components: "Composants", noComponents: "Cette page n’a pas encore de composants.", activeIncidents: "Incidents en cours",
  upcomingMaintenance: "Maintenances à venir", activeMaintenance: "Maintenance en cours", pastIncidents: "Incidents passés", noIncidents: "Aucun incident signalé",
  noIncidentsInMonth: "Aucun incident n’a été signalé ce mois-ci.", history: "Historique des incidents", uptime: "Disponibilité", calendar: "Calendrier", feed: "Flux", subscribe: "S’abonner", support: "Obtenir de l’aide",
  backToPage: "État actuel", earlier: "Plus tôt", later: "Plus tard", legend: "Légende", today: "Aujourd’hui", daysAgo: { one: "il y a {n} jour", other: "il y a {n} jours" },
  uptimeShare: "{percent} de disponibilité", uptimeOver: { one: "{percent} de disponibilité sur {n} jour", other: "{percent} de disponibilité sur {n} jours" }, troubledDays: { one: "{n} jour perturbé", other: "{n} jours perturbés" },
  latency: { one: "Temps de réponse par région, dernière heure", other: "Temps de réponse par région, {n} dernières heures" },
  noTroubledDays: "aucune perturbation", affects: "Concerne", window: "{from} à {until}", started: "Début", resolved: "Résolu", lasted: "Durée", postmortem: "Rétrospective", permalink: "Lien permanent",
  servedBy: "Servi par {region}", lastChange: "Dernière modification {time}", nothingYet: "Rien n’a encore été publié", timesIn: "Heures en {zone}", timesYours: "Heures dans votre fuseau horaire",
  cutOff: "Cette copie est coupée des autres régions depuis {time}. Ce qu’elle montre peut être périmé.", copied: "Ceci est une copie enregistrée du {time}. Ce qu’elle montre peut être périmé.", stale: "Pas de connexion depuis {age}. Ce que vous voyez peut être périmé.",
  live: "En direct", checked: "À jour {ago}", notFoundTitle: "Il n’y a pas de page ici", notFoundText: "L’adresse est peut-être erronée, ou ce qui se trouvait ici a été retiré.",
  moreUpdates: { one: "{n} message antérieur", other: "{n} messages antérieurs" }, latestUpdates: "Derniers messages", earlierUpdates: "Messages antérieurs",
  deletedNote: "Composant retiré", minutes: { one: "{n} minute", other: "{n} minutes" }, hours: { one: "{n} heure", other: "{n} heures" }, days: { one: "{n} jour", other: "{n} jours" },
};
