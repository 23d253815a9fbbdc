/** @jsxRuntime automatic @jsxImportSource preact */
/** Every component's days as a calendar, with the share of uptime of each month. */
import { renderToString } from "preact-render-to-string";
import { stateOfDay, uptimeOf, type ComponentDay, type DaysOfComponent } from "./component-days.js";
import { Pager } from "./history-view.js";
import { documentParts, Slot } from "./html-document.js";
import type { Language } from "./language.js";
import type { Indicator } from "./overall-status.js";
import { Shell } from "./page-shell.js";
import { blocksOf, type PublicModel } from "./public-page.js";
import { Legend } from "./status-view.js";
import { classOfDay, troublesInWords } from "./uptime-bars.js";
import type { ViewContext } from "./view-context.js";
import { dayOf } from "../../store/zoned-days.js";
import { daysOfMonth } from "./zoned-time.js";

export interface UptimeViewProps {
  readonly context: ViewContext;
  readonly model: PublicModel;
  readonly indicator: Indicator;
  readonly daysOf: DaysOfComponent;
  /** The earliest first. */
  readonly months: readonly string[];
  readonly earlier: string | null;
  readonly later: string | null;
}

/** Component by component. */
export function uptimeParts(props: UptimeViewProps): AsyncGenerator<string, void, undefined> {
  const { context, indicator, earlier, later } = props;
  const { texts } = context.language;
  return documentParts(
    <Shell context={context} title={texts.uptime} description={texts.uptime} path="/uptime" indicator={indicator} live>
      <h1>{texts.uptime}</h1>
      <Legend context={context} />
      <div id="uptime"><Slot /></div>
      <Pager context={context} path="/uptime" earlier={earlier} later={later} />
    </Shell>,
    calendarParts(props),
  );
}

async function* calendarParts({ context, model, months, daysOf }: UptimeViewProps): AsyncGenerator<string, void, undefined> {
  const shown = blocksOf(model).flatMap(({ group, components }) => components.filter(({ showUptime }) => showUptime).map((component) => ({ group, component })));
  if (shown.length === 0) yield renderToString(<p class="card empty">{context.language.texts.noComponents}</p>);
  const today = dayOf(model.atMs, context.page.timeZone);
  const [first = "", last = ""] = [months[0], months.at(-1)];
  for (const { group, component } of shown) {
    const days = await daysOf(component.id, `${first}-01`, daysOfMonth(last).at(-1) ?? "");
    yield renderToString(
      <section class="card calendar" aria-labelledby={`u-${component.id}`}>
        <h2 id={`u-${component.id}`} dir="auto">{group !== null && <span class="of">{group.name} · </span>}{component.name}</h2>
        <div class="months">{months.map((month) => <Month key={month} month={month} known={days.filter(({ day }) => day.startsWith(month))} today={today} language={context.language} />)}</div>
      </section>,
    );
  }
}

function Month({ month, known, today, language }: { month: string; known: readonly ComponentDay[]; today: string; language: Language }) {
  const days = daysOfMonth(month);
  const records = new Map(known.map((day) => [day.day, day]));
  const uptime = uptimeOf(known);
  // Monday first, as ISO 8601 has it.
  const offset = (new Date(`${month}-01T00:00:00Z`).getUTCDay() + 6) % 7;
  return (
    <div class="cal-month">
      <h3>{language.month(month)} <span class="share">{uptime === undefined ? language.texts.component.no_data : language.percent(uptime)}</span></h3>
      <ol class={`cal w${offset}`}>
        {days.map((day) => {
          const record = records.get(day) ?? { day, seconds: {} };
          const words = day > today ? "" : troublesInWords(record, language) || (stateOfDay(record) === "no_data" ? language.texts.component.no_data : "");
          return <li key={day} class={day > today ? "f" : classOfDay(record)} {...(words === "" ? {} : { title: words })}>{language.number(Number(day.slice(-2)))}{words !== "" && <span class="vh">: {words}</span>}</li>;
        })}
      </ol>
    </div>
  );
}
