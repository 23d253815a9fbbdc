/** @jsxRuntime automatic @jsxImportSource preact */
/** The page itself: how things stand, what is going on, what is to come, and what was. */
import type { DaysOfComponent } from "./component-days.js";
import { EventCard, EventSummary } from "./event-card.js";
import { filled } from "./language.js";
import { LatencyGraph, type LatencyLine } from "./latency-graph.js";
import { indicatorOfStatus, overallIndicator, worstStatus } from "./overall-status.js";
import { Moment, Shell, Sign, statusOfIndicator } from "./page-shell.js";
import { blocksOf, type PublicComponent, type PublicEvent, type PublicModel } from "./public-page.js";
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

export function StatusView(props: StatusViewProps) {
  const { context, model } = props;
  const { texts } = context.language;
  const indicator = overallIndicator(model);
  const sentence = texts.overall[indicator];
  const sections: readonly [id: string, title: string, events: readonly PublicEvent[]][] = [
    ["incidents", texts.activeIncidents, model.openIncidents], ["active-maintenance", texts.activeMaintenance, model.activeMaintenances],
  ];
  return (
    <Shell context={context} title={context.page.name} description={context.page.description ?? sentence} path="" indicator={indicator} live>
      <section class={`overall i-${indicator}`} id="overall">
        <Sign status={statusOfIndicator(indicator)} />
        <div>
          <h1 aria-live="polite">{sentence}</h1>
          <Freshness {...props} />
        </div>
      </section>
      {context.page.description !== null && <p class="about" id="about" dir="auto">{context.page.description}</p>}
      {sections.map(([id, title, events]) => <EventSection key={id} id={id} title={title} events={events} context={context} />)}
      <Components {...props} />
      <EventSection id="upcoming" title={texts.upcomingMaintenance} events={model.upcomingMaintenances} context={context} />
      <Past {...props} />
    </Shell>
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

/** Always there, so that the script has a place to put what comes later. */
function EventSection({ id, title, events, context }: { id: string; title: string; events: readonly PublicEvent[]; context: ViewContext }) {
  return (
    <div id={id}>
      {events.length > 0 && (
        <section class="events" aria-labelledby={`${id}-title`}>
          <h2 id={`${id}-title`}>{title}</h2>
          {events.map((event) => <EventCard key={event.id} event={event} context={context} />)}
        </section>
      )}
    </div>
  );
}

function Components(props: StatusViewProps) {
  const { texts } = props.context.language;
  const blocks = blocksOf(props.model);
  return (
    <section aria-labelledby="components-title">
      <h2 id="components-title">{texts.components}</h2>
      <div id="components" class="card components">
        {blocks.length === 0 && <p class="empty">{texts.noComponents}</p>}
        {blocks.map((block) => {
          if (block.group === null) return <div key={block.components[0].id} class="alone"><Component {...props} component={block.components[0]} /></div>;
          const worst = worstStatus(block.components.map(({ status }) => status));
          return (
            <details key={block.group.id} class="group" id={`group-${block.group.id}`} open={!block.group.collapsed || worst !== "operational"}>
              <summary><span class="arrow" aria-hidden="true" /><span class="name" dir="auto">{block.group.name}</span><Status status={worst} {...props} /></summary>
              {block.group.description !== null && <p class="about" dir="auto">{block.group.description}</p>}
              {block.components.map((component) => <Component key={component.id} {...props} component={component} />)}
            </details>
          );
        })}
      </div>
      {props.model.components.some(({ showUptime }) => showUptime) && <Legend {...props} />}
    </section>
  );
}

function Status({ status, context }: Pick<StatusViewProps, "context"> & { status: PublicComponent["status"] }) {
  return <span class={`status t-${indicatorOfStatus(status)}`}><Sign status={status} />{context.language.texts.component[status]}</span>;
}

function Component({ component, ...props }: StatusViewProps & { component: PublicComponent }) {
  const { context, model, daysOf, latencyOf, barDays } = props;
  const latencies = component.showLatency ? latencyOf(component.id) : [];
  const today = dayOf(model.atMs, context.page.timeZone);
  // None of a component that was made after they were gathered: its creation has the page rendered anew.
  const days = component.showUptime ? daysOf(component.id, dayAfter(today, 1 - barDays), today) : [];
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
