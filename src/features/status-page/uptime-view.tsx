/** @jsxRuntime automatic @jsxImportSource preact */
/** Every component's days as a calendar, with the share of uptime of each month. */
import { stateOfDay, uptimeOf, type DaysOfComponent } from "./component-days.js";
import { Pager } from "./history-view.js";
import type { Indicator } from "./overall-status.js";
import { Shell } from "./page-shell.js";
import { blocksOf, type PublicComponent, type PublicModel } from "./public-page.js";
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

export function UptimeView(props: UptimeViewProps) {
  const { context, model, indicator, earlier, later } = props;
  const { texts } = context.language;
  const shown = blocksOf(model)
    .flatMap(({ group, components }) => components.filter(({ showUptime }) => showUptime).map((component) => ({ group, component })));
  return (
    <Shell context={context} title={texts.uptime} description={texts.uptime} path="/uptime" indicator={indicator} live>
      <h1>{texts.uptime}</h1>
      <Legend context={context} />
      <div id="uptime">
        {shown.length === 0 && <p class="card empty">{texts.noComponents}</p>}
        {shown.map(({ group, component }) => <Calendar key={component.id} {...props} component={component} groupName={group?.name} />)}
      </div>
      <Pager context={context} path="/uptime" earlier={earlier} later={later} />
    </Shell>
  );
}

function Calendar({ component, groupName, ...props }: UptimeViewProps & { component: PublicComponent; groupName: string | undefined }) {
  return (
    <section class="card calendar" aria-labelledby={`u-${component.id}`}>
      <h2 id={`u-${component.id}`} dir="auto">{groupName !== undefined && <span class="of">{groupName} · </span>}{component.name}</h2>
      <div class="months">{props.months.map((month) => <Month key={month} {...props} month={month} component={component} />)}</div>
    </section>
  );
}

function Month({ month, component, context, model, daysOf }: UptimeViewProps & { month: string; component: PublicComponent }) {
  const { language, page } = context;
  const days = daysOfMonth(month);
  const today = dayOf(model.atMs, page.timeZone);
  const known = new Map(daysOf(component.id, days[0] ?? "", days.at(-1) ?? "").map((day) => [day.day, day]));
  const uptime = uptimeOf([...known.values()]);
  // Monday first, as ISO 8601 has it.
  const offset = (new Date(`${month}-01T00:00:00Z`).getUTCDay() + 6) % 7;
  return (
    <div class="cal-month">
      <h3>{language.month(month)} <span class="share">{uptime === undefined ? language.texts.component.no_data : language.percent(uptime)}</span></h3>
      <ol class={`cal w${offset}`}>
        {days.map((day) => {
          const record = known.get(day) ?? { day, seconds: {} };
          const words = day > today ? "" : troublesInWords(record, language) || (stateOfDay(record) === "no_data" ? language.texts.component.no_data : "");
          return <li key={day} class={day > today ? "f" : classOfDay(record)} {...(words === "" ? {} : { title: words })}>{language.number(Number(day.slice(-2)))}{words !== "" && <span class="vh">: {words}</span>}</li>;
        })}
      </ol>
    </div>
  );
}
