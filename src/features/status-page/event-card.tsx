/** @jsxRuntime automatic @jsxImportSource preact */
/** An incident or a maintenance with its timeline, and the short form that lists of the past show. */
import { htmlOfMarkdown } from "./markdown.js";
import { filled, type Language } from "./language.js";
import { Moment, Sign } from "./page-shell.js";
import type { PublicEvent, PublicUpdate } from "./public-page.js";
import type { ViewContext } from "./view-context.js";

const STATUS_OF_IMPACT: Readonly<Record<PublicEvent["impact"], string>> = {
  none: "no_data", minor: "degraded_performance", major: "partial_outage", critical: "major_outage", maintenance: "under_maintenance",
};

export function pathOfEvent({ kind, id }: PublicEvent): string {
  return `/${kind === "incident" ? "incidents" : "maintenances"}/${encodeURIComponent(id)}`;
}

export function statusInWords(event: PublicEvent, status: string, { texts }: Language): string {
  const words: Readonly<Record<string, string>> = event.kind === "incident" ? texts.incident : texts.maintenance;
  return words[status] ?? status;
}

function impactInWords({ impact }: PublicEvent, { texts }: Language): string {
  return impact === "maintenance" ? texts.component.under_maintenance : texts.impact[impact];
}

interface EventProps {
  readonly event: PublicEvent;
  readonly context: ViewContext;
}

export function EventFacts({ event, context }: EventProps) {
  const { language } = context;
  const { texts } = language;
  const names = event.components.map(({ name }) => name || texts.deletedNote);
  const [before = "", between = "", after = ""] = filled(texts.window, { from: "\u0000", until: "\u0000" }).split("\u0000");
  return (
    <p class="facts">
      <span class={`impact f-${event.impact}`}><Sign status={STATUS_OF_IMPACT[event.impact]} />{impactInWords(event, language)}</span>
      {event.scheduledFor !== null && event.scheduledUntil !== null && <span class="window">{before}<Moment at={event.scheduledFor} language={language} />{between}<Moment at={event.scheduledUntil} language={language} />{after}</span>}
      {names.length > 0 && <span class="affects">{texts.affects} {new Intl.ListFormat(language.code, { type: "conjunction" }).formatToParts(names).map(({ type, value }, at) => (type === "element" ? <bdi key={at}>{value}</bdi> : value))}</span>}
    </p>
  );
}

function Update({ event, update, language }: { event: PublicEvent; update: PublicUpdate; language: Language }) {
  return (
    <li class={`u-${update.status}`}>
      <p class="update-head"><strong>{statusInWords(event, update.status, language)}</strong> <Moment at={update.displayAt} language={language} /></p>
      {update.body !== "" && <div class="body" dir="auto" dangerouslySetInnerHTML={{ __html: htmlOfMarkdown(update.body) }} />}
    </li>
  );
}

export function Timeline({ event, language }: { event: PublicEvent; language: Language }) {
  return <ol class="timeline">{event.updates.map((update) => <Update key={update.id} event={event} update={update} language={language} />)}</ol>;
}

/** With its timeline: what is going on, or about to. */
export function EventCard({ event, context }: EventProps) {
  const more = event.updateCount - event.updates.length;
  const last = event.updates.at(-1);
  return (
    <article class={`card event e-${event.impact}`} id={`${event.kind}-${event.id}`}>
      <h3 dir="auto"><a href={`${context.base}${pathOfEvent(event)}`}>{event.name}</a></h3>
      <EventFacts event={event} context={context} />
      <Timeline event={event} language={context.language} />
      {more > 0 && <p class="more"><a href={`${context.base}${pathOfEvent(event)}${last === undefined ? "" : `?after=${encodeURIComponent(last.id)}`}`}>{context.language.counted(context.language.texts.moreUpdates, more)}</a></p>}
    </article>
  );
}

/** One line and the last word on it: what is over. */
export function EventSummary({ event, context }: EventProps) {
  const { language, base } = context;
  const last = event.updates[0];
  const lasted = event.endedAt === null ? undefined : (Date.parse(event.endedAt) - Date.parse(event.startedAt)) / 1_000;
  return (
    <article class={`past-event e-${event.impact}`}>
      <h4 dir="auto"><a href={`${base}${pathOfEvent(event)}`}>{event.name}</a></h4>
      <p class="facts">
        <span class={`impact f-${event.impact}`}><Sign status={STATUS_OF_IMPACT[event.impact]} />{impactInWords(event, language)}</span>
        <span>{statusInWords(event, event.status, language)} <Moment at={event.endedAt ?? event.startedAt} language={language} /></span>
        {lasted !== undefined && lasted > 0 && <span>{language.texts.lasted} {language.span(lasted)}</span>}
      </p>
      {last !== undefined && last.body !== "" && <div class="body" dir="auto" dangerouslySetInnerHTML={{ __html: htmlOfMarkdown(last.body) }} />}
    </article>
  );
}
