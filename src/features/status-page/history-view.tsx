/** @jsxRuntime automatic @jsxImportSource preact */
/** Past incidents and maintenances, month by month. */
import { EventSummary } from "./event-card.js";
import type { Indicator } from "./overall-status.js";
import { Shell } from "./page-shell.js";
import type { PublicEvent } from "./public-page.js";
import type { ViewContext } from "./view-context.js";
import { dayOf } from "../../store/zoned-days.js";

export interface HistoryViewProps {
  readonly context: ViewContext;
  readonly indicator: Indicator;
  /** `2026-11`, the latest first, with what began in them, the latest first. */
  readonly months: readonly { readonly month: string; readonly events: readonly PublicEvent[] }[];
  /** Months to go to; null where there is nothing more. */
  readonly earlier: string | null;
  readonly later: string | null;
}

export function HistoryView({ context, indicator, months, earlier, later }: HistoryViewProps) {
  const { language, page } = context;
  const { texts } = language;
  return (
    <Shell context={context} title={texts.history} description={texts.history} path="/history" indicator={indicator} live>
      <h1>{texts.history}</h1>
      <div id="history" class="past">
        {months.map(({ month, events }) => (
          <section key={month} class="month" aria-labelledby={`m-${month}`}>
            <h2 id={`m-${month}`}>{language.month(month)}</h2>
            {events.length === 0 && <p class="quiet-day">{texts.noIncidentsInMonth}</p>}
            {events.map((event, at) => {
              const day = dayOf(Date.parse(event.startedAt), page.timeZone);
              const before = events[at - 1];
              const isFirst = before === undefined || dayOf(Date.parse(before.startedAt), page.timeZone) !== day;
              return <div key={event.id} class="day">{isFirst && <h3>{language.day(day)}</h3>}<EventSummary event={event} context={context} /></div>;
            })}
          </section>
        ))}
      </div>
      <Pager context={context} path="/history" earlier={earlier} later={later} />
    </Shell>
  );
}

export function Pager({ context, path, earlier, later }: Pick<HistoryViewProps, "context" | "earlier" | "later"> & { path: string }) {
  const { language, base } = context;
  const link = (month: string, text: string, rel: string) => <a class="button quiet" rel={rel} href={`${base}${path}?month=${month}`}>{text} <span class="month-name">{language.month(month)}</span></a>;
  return (
    <nav class="pager" aria-label={`${language.texts.earlier}, ${language.texts.later}`}>
      {earlier !== null && link(earlier, language.texts.earlier, "prev")}
      {later !== null && link(later, language.texts.later, "next")}
    </nav>
  );
}
