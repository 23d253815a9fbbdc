import type { Texts } from "./texts.js";

export const german: Texts = {
  name: "Deutsch", languages: "Sprachen",
  overall: { none: "Alle Systeme funktionieren", maintenance: "Wartungsarbeiten laufen", minor: "Einige Systeme sind beeinträchtigt", major: "Teilausfall", critical: "Schwerer Ausfall" },
  component: { operational: "In Betrieb", under_maintenance: "Wartung", degraded_performance: "Beeinträchtigt", partial_outage: "Teilausfall", major_outage: "Ausfall", no_data: "Keine Daten" },
  incident: { investigating: "In Untersuchung", identified: "Ursache gefunden", monitoring: "Unter Beobachtung", resolved: "Behoben", postmortem: "Nachbetrachtung" },
  maintenance: { scheduled: "Geplant", in_progress: "Läuft", verifying: "Wird geprüft", completed: "Abgeschlossen" },
  impact: { none: "Ohne Auswirkung", minor: "Geringe Auswirkung", major: "Große Auswirkung", critical: "Kritische Auswirkung" },
  skip: "Zum Status springen", components: "Komponenten", noComponents: "Diese Seite hat noch keine Komponenten.", activeIncidents: "Aktuelle Störungen",
  upcomingMaintenance: "Geplante Wartung", activeMaintenance: "Laufende Wartung", pastIncidents: "Vergangene Störungen", noIncidents: "Keine Störungen gemeldet",
  noIncidentsInMonth: "In diesem Monat wurden keine Störungen gemeldet.", history: "Störungsverlauf", uptime: "Verfügbarkeit", calendar: "Kalender", feed: "Feed", subscribe: "Abonnieren", support: "Hilfe erhalten",
  backToPage: "Aktueller Status", earlier: "Früher", later: "Später", legend: "Legende", today: "Heute", daysAgo: { one: "vor {n} Tag", other: "vor {n} Tagen" },
  uptimeShare: "{percent} verfügbar", uptimeOver: { one: "{percent} verfügbar an {n} Tag", other: "{percent} verfügbar in {n} Tagen" }, troubledDays: { one: "{n} Tag mit Störungen", other: "{n} Tage mit Störungen" },
  latency: { one: "Antwortzeit nach Region, letzte Stunde", other: "Antwortzeit nach Region, letzte {n} Stunden" },
  noTroubledDays: "keine Störungen", affects: "Betrifft", window: "{from} bis {until}", started: "Beginn", resolved: "Behoben", lasted: "Dauer", postmortem: "Nachbetrachtung", permalink: "Dauerhafter Link",
  servedBy: "Ausgeliefert von {region}", lastChange: "Letzte Änderung {time}", nothingYet: "Noch nichts veröffentlicht", timesIn: "Zeiten in {zone}", timesYours: "Zeiten in Ihrer Zeitzone",
  cutOff: "Diese Kopie ist seit {time} von den anderen Regionen abgeschnitten. Was sie zeigt, kann veraltet sein.", copied: "Dies ist eine gespeicherte Kopie vom {time}. Was sie zeigt, kann veraltet sein.", stale: "Seit {age} keine Verbindung. Was Sie sehen, kann veraltet sein.",
  live: "Live", checked: "Stand {ago}", notFoundTitle: "Hier gibt es keine Seite", notFoundText: "Vielleicht ist die Adresse falsch geschrieben, oder was hier stand, wurde entfernt.",
  moreUpdates: { one: "{n} frühere Meldung", other: "{n} frühere Meldungen" }, latestUpdates: "Neueste Meldungen", earlierUpdates: "Frühere Meldungen",
  deletedNote: "Entfernte Komponente", minutes: { one: "{n} Minute", other: "{n} Minuten" }, hours: { one: "{n} Stunde", other: "{n} Stunden" }, days: { one: "{n} Tag", other: "{n} Tagen" },
};
