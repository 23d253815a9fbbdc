/** @jsxRuntime automatic @jsxImportSource preact */
/** The permanent page of one incident or maintenance. */
import { EventFacts, Timeline, statusInWords } from "./event-card.js";
import { htmlOfMarkdown, plainOfMarkdown } from "./markdown.js";
import type { Indicator } from "./overall-status.js";
import { Moment, Shell } from "./page-shell.js";
import type { PublicEvent } from "./public-page.js";
import type { ViewContext } from "./view-context.js";
import { pathOfEvent } from "./event-card.js";

const DESCRIPTION_LENGTH_MAX = 200;

export interface EventViewProps {
  readonly event: PublicEvent;
  readonly indicator: Indicator;
  readonly context: ViewContext;
  /** False on a page of earlier updates. */
  readonly isLatest: boolean;
  /** The id of the update that the page of earlier ones goes on from; null where there are none. */
  readonly earlier: string | null;
}

export function EventView({ event, indicator, context, isLatest, earlier }: EventViewProps) {
  const { language, base } = context;
  const { texts } = language;
  const last = event.updates[0];
  const lasted = event.endedAt === null ? 0 : (Date.parse(event.endedAt) - Date.parse(event.startedAt)) / 1_000;
  const status = statusInWords(event, event.status, language);
  const path = pathOfEvent(event);
  return (
    <Shell context={context} title={event.name} description={last === undefined ? status : `${status}: ${plainOfMarkdown(last.body, DESCRIPTION_LENGTH_MAX)}`} path={path} indicator={indicator} live>
      <p class="back"><a href={base === "" ? "/" : base}>{texts.backToPage}</a></p>
      <article id="event" class={`event-page e-${event.impact}`}>
        <h1 dir="auto">{event.name}</h1>
        <EventFacts event={event} context={context} />
        <dl class="times">
          <div><dt>{texts.started}</dt><dd><Moment at={event.startedAt} language={language} /></dd></div>
          {event.endedAt !== null && <div><dt>{event.kind === "incident" ? texts.resolved : texts.maintenance.completed}</dt><dd><Moment at={event.endedAt} language={language} /></dd></div>}
          {lasted > 0 && <div><dt>{texts.lasted}</dt><dd>{language.span(lasted)}</dd></div>}
        </dl>
        {event.postmortem !== null && (
          <section class="card postmortem" aria-labelledby="postmortem-title">
            <h2 id="postmortem-title">{texts.postmortem}</h2>
            <div class="body" dir="auto" dangerouslySetInnerHTML={{ __html: htmlOfMarkdown(event.postmortem.body) }} />
          </section>
        )}
        <div class="card"><Timeline event={event} language={language} /></div>
        {(earlier !== null || !isLatest) && (
          <nav class="pager" aria-label={`${texts.earlierUpdates}, ${texts.latestUpdates}`}>
            {earlier !== null && <a class="button quiet" rel="prev" href={`${base}${path}?after=${encodeURIComponent(earlier)}`}>{texts.earlierUpdates}</a>}
            {!isLatest && <a class="button quiet" rel="next" href={`${base}${path}`}>{texts.latestUpdates}</a>}
          </nav>
        )}
      </article>
    </Shell>
  );
}
