/**
 * Maintenances as an iCalendar that calendars subscribe to. A UID names a maintenance for ever; SEQUENCE grows with every change of it, in whichever region it
 * is made; what was deleted is said to be cancelled, since a calendar that merely misses an entry would keep it. Source: RFC 5545, RFC 7986.
 */
import ical, { ICalCalendarMethod, ICalEventStatus, ICalEventTransparency } from "ical-generator";
import { plainOfMarkdown } from "./markdown.js";
import { oneLine } from "./plain-text.js";
import { pathOfEvent } from "./event-card.js";
import type { CancelledMaintenance, PublicEvent, PublicModel } from "./public-page.js";

const DESCRIPTION_LENGTH_MAX = 4_000;
/** SEQUENCE is a 32-bit integer: seconds since this time last until 2092. */
const SEQUENCE_FROM_MS = Date.UTC(2024, 0, 1);

export interface CalendarInput {
  readonly model: PublicModel;
  readonly maintenances: readonly PublicEvent[];
  readonly cancelled: readonly CancelledMaintenance[];
  /** Absolute, without a slash at its end. */
  readonly url: string;
}

/** Grows with the time of the last change, which is a hybrid time: later changes have later ones in every region. */
function sequenceOf(updatedAt: string): number {
  return Math.max(0, Math.floor((Date.parse(updatedAt) - SEQUENCE_FROM_MS) / 1_000));
}

export function calendarOf({ model, maintenances, cancelled, url }: CalendarInput): string {
  const { page } = model;
  // The library writes the calendar's name as it is, and escapes all else.
  const name = oneLine(page.name).replace(/[\\;,]/g, "\\$&");
  const calendar = ical({ name, url: `${url}/calendar.ics`, prodId: { company: "statusmesh", product: "maintenances", language: "EN" }, ttl: 3_600, method: ICalCalendarMethod.PUBLISH });
  for (const event of maintenances) {
    const latest = event.updates[0];
    const affects = event.components.map(({ name }) => name).filter((name) => name !== "");
    calendar.createEvent({
      id: uidOf(page.id, event.id), sequence: sequenceOf(event.updatedAt), stamp: new Date(event.updatedAt), created: new Date(event.createdAt), lastModified: new Date(event.updatedAt),
      start: new Date(event.scheduledFor ?? event.startedAt), end: new Date(event.scheduledUntil ?? event.startedAt), summary: oneLine(event.name),
      description: [latest === undefined ? "" : plainOfMarkdown(latest.body, DESCRIPTION_LENGTH_MAX), affects.length === 0 ? "" : `Affects ${affects.join(", ")}`].filter(Boolean).join("\n\n"),
      url: `${url}${pathOfEvent(event)}`, status: ICalEventStatus.CONFIRMED, transparency: ICalEventTransparency.TRANSPARENT,
    });
  }
  for (const { id, name, scheduledFor, scheduledUntil, updatedAt } of cancelled) {
    calendar.createEvent({
      id: uidOf(page.id, id), sequence: sequenceOf(updatedAt), stamp: new Date(updatedAt), lastModified: new Date(updatedAt), start: new Date(scheduledFor), end: new Date(scheduledUntil), summary: oneLine(name),
      status: ICalEventStatus.CANCELLED, transparency: ICalEventTransparency.TRANSPARENT,
    });
  }
  return `${calendar.toString()}\r\n`;
}

function uidOf(page: string, id: string): string {
  return `${id}.${page}@statusmesh`;
}
