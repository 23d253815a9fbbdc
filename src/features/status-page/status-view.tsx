/** @jsxRuntime automatic @jsxImportSource preact */
/** The page itself: how things stand, what is going on, what is to come, and what was. */
import { renderToString } from "preact-render-to-string";
import type { ComponentDay, DaysOfComponent } from "./component-days.js";
import { EventCard, EventSummary } from "./event-card.js";
import { around, documentParts, Slot } from "./html-document.js";
import { filled } from "./language.js";
import { LatencyGraph, type LatencyLine } from "./latency-graph.js";
import { indicatorOfStatus, overallIndicator, worstStatus } from "./overall-status.js";
import { Moment, Shell, Sign, statusOfIndicator } from "./page-shell.js";
import { blocksOf, type PublicComponent, type PublicEvent, type PublicGroup, type PublicModel } from "./public-page.js";
import { UptimeBars } from "./uptime-bars.js";
import type { ViewContext } from "./view-context.js";
import { dayAfter, dayOf } from "../../store/zoned-days.js";

/** The monitors of a component whose latencies are shown. */
export type LatencyOfComponent = (component: string) => readonly { readonly name: string; readonly lines: readonly LatencyLine[] }[];

export interface StatusViewProps {
  readonly context: ViewContext;
  readonly model: PublicModel;
  /** Latest first; of the days that the page looks back. */
  readonly past: readonly PublicEvent[];
  readonly daysOf: DaysOfComponent;
  readonly latencyOf: LatencyOfComponent;
  readonly barDays: number;
  readonly pastDays: number;
}

/** First the head, the shell and how things stand, then what is going on, then component by component, then what is to come and what was. */
export function statusParts(props: StatusViewProps): AsyncGenerator<string, void, undefined> {
  const { context, model } = props;
  const indicator = overallIndicator(model);
  const sentence = context.language.texts.overall[indicator];
  return documentParts(<Shell context={context} title={context.page.name} description={context.page.description ?? sentence} path="" indicator={indicator} live><Slot /></Shell>, contentParts(props));
}

async function* contentParts(props: StatusViewProps): AsyncGenerator<string, void, undefined> {
  const { context, model } = props;
  const { texts } = context.language;
  yield renderToString(<Overall {...props} />);
  if (context.page.description !== null) yield renderToString(<p class="about" id="about" dir="auto">{context.page.description}</p>);
  yield* eventParts({ id: "incidents", title: texts.activeIncidents, events: model.openIncidents, context });
  yield* eventParts({ id: "active-maintenance", title: texts.activeMaintenance, events: model.activeMaintenances, context });
  yield* componentsParts(props);
  yield* eventParts({ id: "upcoming", title: texts.upcomingMaintenance, events: model.upcomingMaintenances, context });
  yield renderToString(<Past {...props} />);
}

function Overall(props: StatusViewProps) {
  const indicator = overallIndicator(props.model);
  return (
    <section class={`overall i-${indicator}`} id="overall">
      <Sign status={statusOfIndicator(indicator)} />
      <div>
        <h1 aria-live="polite">{props.context.language.texts.overall[indicator]}</h1>
        <Freshness {...props} />
      </div>
    </section>
  );
}

function Freshness({ context, model }: StatusViewProps) {
  const { language, region, cutOffSince } = context;
  const [before = "", after = ""] = language.texts.lastChange.split("{time}");
  return (
    <p class="fresh">
      <span>{model.isUntouched ? language.texts.nothingYet : <>{before}<Moment at={model.updatedAt} language={language} />{after}</>}</span>
      <span>{filled(language.texts.servedBy, { region })}</span>
      <span class="checked" data-checked={language.texts.checked} {...(cutOffSince === null ? {} : { "data-since": cutOffSince })} hidden>{language.texts.live}</span>
    </p>
  );
}

interface EventSectionProps {
  readonly id: string;
  readonly title: string;
  readonly events: readonly PublicEvent[];
  readonly context: ViewContext;
}

/** Always there, so that the script has a place to put what comes later. */
function* eventParts({ id, title, events, context }: EventSectionProps): Generator<string, void, undefined> {
  if (events.length === 0) return yield renderToString(<div id={id} />);
  const [before, after] = around(<div id={id}><section class="events" aria-labelledby={`${id}-title`}><h2 id={`${id}-title`}>{title}</h2><Slot /></section></div>);
  yield before;
  for (const event of events) yield renderToString(<EventCard event={event} context={context} />);
  yield after;
}

async function* componentsParts(props: StatusViewProps): AsyncGenerator<string, void, undefined> {
  const { texts } = props.context.language;
  const blocks = blocksOf(props.model);
  const [before, after] = around(
    <section aria-labelledby="components-title">
      <h2 id="components-title">{texts.components}</h2>
      <div id="components" class="card components">
        {blocks.length === 0 && <p class="empty">{texts.noComponents}</p>}
        <Slot />
      </div>
      {props.model.components.some(({ showUptime }) => showUptime) && <Legend {...props} />}
    </section>,
  );
  yield before;
  const today = dayOf(props.model.atMs, props.context.page.timeZone);
  for (const block of blocks) {
    const [open, close] = around(block.group === null ? <div class="alone"><Slot /></div> : <Group {...props} group={block.group} components={block.components} />);
    yield open;
    for (const component of block.components) {
      const days = component.showUptime ? await props.daysOf(component.id, dayAfter(today, 1 - props.barDays), today) : [];
      yield renderToString(<Component {...props} component={component} days={days} />);
    }
    yield close;
  }
  yield after;
}

function Group({ group, components, ...props }: StatusViewProps & { group: PublicGroup; components: readonly PublicComponent[] }) {
  const worst = worstStatus(components.map(({ status }) => status));
  return (
    <details class="group" id={`group-${group.id}`} open={!group.collapsed || worst !== "operational"}>
      <summary><span class="arrow" aria-hidden="true" /><span class="name" dir="auto">{group.name}</span><Status status={worst} {...props} /></summary>
      {group.description !== null && <p class="about" dir="auto">{group.description}</p>}
      <Slot />
    </details>
  );
}

function Status({ status, context }: Pick<StatusViewProps, "context"> & { status: PublicComponent["status"] }) {
  return <span class={`status t-${indicatorOfStatus(status)}`}><Sign status={status} />{context.language.texts.component[status]}</span>;
}

function Component({ component, days, context, latencyOf }: StatusViewProps & { component: PublicComponent; days: readonly ComponentDay[] }) {
  const latencies = component.showLatency ? latencyOf(component.id) : [];
  return (
    <div class="component" id={`component-${component.id}`}>
      <p class="component-head"><span class="name" dir="auto">{component.name}</span><Status status={component.status} context={context} /></p>
      {component.description !== null && <p class="about" dir="auto">{component.description}</p>}
      {days.length > 0 && <UptimeBars days={days} language={context.language} />}
      {latencies.map(({ name, lines }) => <LatencyGraph key={name} name={latencies.length === 1 ? null : name} lines={lines} language={context.language} />)}
    </div>
  );
}

export function Legend({ context }: Pick<StatusViewProps, "context">) {
  const { texts } = context.language;
  const kinds = [["o", "operational"], ["d", "degraded_performance"], ["p", "partial_outage"], ["m", "major_outage"], ["w", "under_maintenance"], ["n", "no_data"]] as const;
  return <ul class="legend" aria-label={texts.legend}>{kinds.map(([name, status]) => <li key={name}><i class={name} aria-hidden="true" />{texts.component[status]}</li>)}</ul>;
}

/** By day; days on which nothing happened stand together. */
function Past({ context, model, past, pastDays }: StatusViewProps) {
  const { language, base, page } = context;
  const { texts } = language;
  const today = dayOf(model.atMs, page.timeZone);
  const byDay = new Map<string, PublicEvent[]>();
  for (const event of past) {
    const day = dayOf(Date.parse(event.startedAt), page.timeZone);
    byDay.set(day, [...(byDay.get(day) ?? []), event]);
  }
  const runs: { first: string; last: string; events: readonly PublicEvent[] }[] = [];
  for (let back = 0; back < pastDays; back++) {
    const day = dayAfter(today, -back);
    const events = byDay.get(day) ?? [];
    const before = runs.at(-1);
    if (events.length === 0 && before !== undefined && before.events.length === 0) before.first = day;
    else runs.push({ first: day, last: day, events });
  }
  return (
    <section aria-labelledby="past-title">
      <h2 id="past-title">{texts.pastIncidents}</h2>
      <div id="past" class="past">
        {runs.map(({ first, last, events }) => (
          <div key={last} class="day">
            <h3>{language.days(first, last)}</h3>
            {events.length === 0 ? <p class="quiet-day">{texts.noIncidents}</p> : events.map((event) => <EventSummary key={event.id} event={event} context={context} />)}
          </div>
        ))}
      </div>
      <p class="more"><a href={`${base}/history`}>{texts.history}</a></p>
    </section>
  );
}
