/** @jsxRuntime automatic @jsxImportSource preact */
/** Ninety days of a component as bars, and what they say in words. */
import { renderToString } from "preact-render-to-string";
import { stateOfDay, troublesOfDay, uptimeOf, type ComponentDay, type DayState } from "./component-days.js";
import { filled, type Language } from "./language.js";

/** Class names of the bars: there are thousands on a page. */
const CLASS: Readonly<Record<DayState, string>> = { operational: "o", under_maintenance: "w", degraded_performance: "d", partial_outage: "p", major_outage: "m", no_data: "n" };
/** Bars that a narrow screen shows (`page.css`), the latest. */
const SHORT_DAYS = 30;
/** Disrupted days that the text alternative names one by one. */
const NAMED_MAX = 5;

function isTroubled(day: ComponentDay): boolean {
  const state = stateOfDay(day);
  return state !== "operational" && state !== "no_data";
}

export function classOfDay(day: ComponentDay): string {
  return CLASS[stateOfDay(day)];
}

/** `Partial outage 12 minutes, Degraded 1 hour`; empty where there was no trouble. */
export function troublesInWords(day: ComponentDay, language: Language): string {
  if (!isTroubled(day)) return "";
  return troublesOfDay(day).map(({ status, seconds }) => `${language.texts.component[status]} ${language.span(seconds)}`).join(", ");
}

function alternative(days: readonly ComponentDay[], language: Language): string {
  const { texts } = language;
  const uptime = uptimeOf(days);
  if (uptime === undefined) return `${texts.component.no_data}. ${language.days(days[0]?.day ?? "", days.at(-1)?.day ?? "")}`;
  const troubled = days.filter(isTroubled).reverse();
  const unknown = days.filter((day) => stateOfDay(day) === "no_data").length;
  const named = troubled.slice(0, NAMED_MAX).map((day) => `${language.day(day.day)}: ${troublesInWords(day, language)}`);
  const head = `${language.counted(texts.uptimeOver, days.length, { percent: language.percent(uptime) })}, ${troubled.length === 0 ? texts.noTroubledDays : language.counted(texts.troubledDays, troubled.length)}`;
  const noData = unknown === 0 ? [] : [`${texts.component.no_data}: ${language.counted(texts.days, unknown)}`];
  return [head, ...named, ...noData, ...(troubled.length > NAMED_MAX ? ["…"] : [])].join("; ");
}

/** As text: nine in ten elements of a page are bars. */
function barsOf(days: readonly ComponentDay[], language: Language): string {
  return days.map((day) => {
    const words = troublesInWords(day, language);
    return words === "" ? `<i class="${classOfDay(day)}"></i>` : renderToString(<i class={classOfDay(day)} data-t={words} />);
  }).join("");
}

export function UptimeBars({ days, language }: { days: readonly ComponentDay[]; language: Language }) {
  const { texts } = language;
  const share = (of: readonly ComponentDay[]): string => {
    const uptime = uptimeOf(of);
    return uptime === undefined ? texts.component.no_data : filled(texts.uptimeShare, { percent: language.percent(uptime) });
  };
  const [whole, short] = [share(days), share(days.slice(-SHORT_DAYS))];
  return (
    <>
      <div class="bars" role="img" aria-label={alternative(days, language)} data-end={days.at(-1)?.day ?? ""} dangerouslySetInnerHTML={{ __html: barsOf(days, language) }} />
      <p class="bars-foot" aria-hidden="true">
        <span class="long">{language.counted(texts.daysAgo, days.length)}</span>
        <span class="short">{language.counted(texts.daysAgo, Math.min(SHORT_DAYS, days.length))}</span>
        <span class="share">{whole === short ? whole : <><span class="long">{whole}</span><span class="short">{short}</span></>}</span>
        <span>{texts.today}</span>
      </p>
    </>
  );
}
