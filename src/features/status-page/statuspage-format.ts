/**
 * The answers of Atlassian Statuspage's public API v2: its fields in its order, its words, its times in the page's zone, so that what was written for
 * it reads our pages. Source: Statuspage's public API, "Status API v2".
 */
import type { Json } from "../../core/change.js";
import { overallStatus, worstStatus } from "./overall-status.js";
import type { PublicComponent, PublicEvent, PublicGroup, PublicModel, PublicUpdate } from "./public-page.js";
import { zonedTimestamp } from "./zoned-time.js";

type Fields = { readonly [key: string]: Json };

/** Incidents, and maintenances, that a list has at most. */
export const STATUSPAGE_LIST_MAX = 50;

export interface StatuspageInput {
  readonly model: PublicModel;
  /** Where the page is reached: its own `url`, else an address of this copy. */
  readonly url: string;
}

export class StatuspageFormat {
  private readonly zone: string;

  constructor(private readonly input: StatuspageInput) {
    this.zone = input.model.page.timeZone;
  }

  private time(at: string | null): string | null {
    return at === null ? null : zonedTimestamp(at, this.zone);
  }

  private page(): Fields {
    const { model, url } = this.input;
    return { id: model.page.id, name: model.page.name, url, time_zone: this.zone, updated_at: this.time(model.updatedAt) };
  }

  private component(component: PublicComponent): Fields {
    return {
      id: component.id, name: component.name, status: component.status, created_at: this.time(component.createdAt), updated_at: this.time(component.updatedAt), position: component.position,
      description: component.description, showcase: component.showUptime, start_date: component.createdAt.slice(0, 10), group_id: component.groupId, page_id: this.input.model.page.id, group: false,
      only_show_if_degraded: component.onlyShowIfDegraded,
    };
  }

  private group(group: PublicGroup): Fields {
    const members = this.input.model.components.filter(({ groupId }) => groupId === group.id);
    return {
      id: group.id, name: group.name, status: worstStatus(members.map(({ status }) => status)), created_at: this.time(group.createdAt), updated_at: this.time(group.updatedAt), position: group.position,
      description: group.description, showcase: false, start_date: null, group_id: null, page_id: this.input.model.page.id, group: true, only_show_if_degraded: false, components: members.map(({ id }) => id),
    };
  }

  /** By position; the members of a group follow it. */
  private allComponents(): Fields[] {
    const { groups, components } = this.input.model;
    const top = [...groups.map((group) => ({ at: group, group })), ...components.filter(({ groupId }) => groupId === null).map((component) => ({ at: component, group: null, component }))]
      .sort((a, b) => a.at.position - b.at.position || Number(a.group !== null) - Number(b.group !== null) || (a.at.id < b.at.id ? -1 : 1));
    return top.flatMap((entry) => (entry.group === null ? [this.component(entry.component)] : [this.group(entry.group), ...components.filter(({ groupId }) => groupId === entry.group.id).map((one) => this.component(one))]));
  }

  private update(update: PublicUpdate, event: PublicEvent): Fields {
    return {
      id: update.id, status: update.status, body: update.body, incident_id: event.id, created_at: this.time(update.createdAt), updated_at: this.time(update.updatedAt), display_at: this.time(update.displayAt),
      affected_components: update.affected.length === 0 ? null : update.affected.map(({ id, name, oldStatus, newStatus }) => ({ code: id, name, old_status: oldStatus, new_status: newStatus })),
      deliver_notifications: update.deliverNotifications, custom_tweet: null, tweet_id: null,
    };
  }

  private event(event: PublicEvent): Fields {
    const { model, url } = this.input;
    const named = event.components.flatMap(({ id }) => model.components.find((component) => component.id === id) ?? []);
    return {
      id: event.id, name: event.name, status: event.status, created_at: this.time(event.createdAt), updated_at: this.time(event.updatedAt), monitoring_at: this.time(event.monitoringAt),
      resolved_at: this.time(event.endedAt), impact: event.impact, shortlink: new URL(event.shortlink, url).href, started_at: this.time(event.startedAt), page_id: model.page.id,
      incident_updates: event.updates.map((update) => this.update(update, event)), components: named.map((component) => this.component(component)), reminder_intervals: null,
      ...(event.kind === "maintenance" ? { scheduled_for: this.time(event.scheduledFor), scheduled_until: this.time(event.scheduledUntil) } : {}),
    };
  }

  private events(events: readonly PublicEvent[]): Fields[] {
    return events.slice(0, STATUSPAGE_LIST_MAX).map((event) => this.event(event));
  }

  summary(): Fields {
    const { model } = this.input;
    return {
      page: this.page(), components: this.allComponents(), incidents: this.events(model.openIncidents),
      scheduled_maintenances: this.events([...model.activeMaintenances, ...model.upcomingMaintenances]), status: overallStatus(model),
    };
  }

  status(): Fields {
    return { page: this.page(), status: overallStatus(this.input.model) };
  }

  components(): Fields {
    return { page: this.page(), components: this.allComponents() };
  }

  incidents(incidents: readonly PublicEvent[]): Fields {
    return { page: this.page(), incidents: this.events(incidents) };
  }

  maintenances(maintenances: readonly PublicEvent[]): Fields {
    return { page: this.page(), scheduled_maintenances: this.events(maintenances) };
  }
}
