/** The state of a page or of one component as a small picture, and as what shields.io draws one from. */
import type { ComponentStatusName } from "../../store/resource-schemas.js";
import { indicatorOfStatus, type Indicator } from "./overall-status.js";
import { oneLine } from "./plain-text.js";

/** White text on these can be read (contrast above 4.5:1). */
const COLORS: Readonly<Record<Indicator, string>> = { none: "#1b7f4f", maintenance: "#2f62bd", minor: "#8f6100", major: "#b64a0e", critical: "#bf2722" };
const WORDS: Readonly<Record<Indicator, string>> = { none: "operational", maintenance: "maintenance", minor: "degraded", major: "partial outage", critical: "major outage" };
const LABEL_LENGTH_MAX = 40;

export interface Badge {
  readonly label: string;
  readonly message: string;
  readonly color: string;
}

export function badgeOf(label: string, indicator: Indicator): Badge {
  const shown = [...oneLine(label)];
  return { label: shown.length > LABEL_LENGTH_MAX ? `${shown.slice(0, LABEL_LENGTH_MAX - 1).join("")}…` : shown.join(""), message: WORDS[indicator], color: COLORS[indicator] };
}

export function badgeOfComponent(name: string, status: ComponentStatusName): Badge {
  return badgeOf(name, indicatorOfStatus(status));
}

/** Source: shields.io, "Endpoint badge". */
export function shieldsJson({ label, message, color }: Badge): { readonly schemaVersion: 1; readonly label: string; readonly message: string; readonly color: string } {
  return { schemaVersion: 1, label, message, color };
}

function escaped(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what XML cannot hold.
  return text.replace(/[\u0000-\u001f\ufffe\uffff]/g, " ").replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

/** Width of a text at 11 px, estimated by the kinds of its characters; `textLength` then makes it exact in any font. */
function widthOf(text: string): number {
  let width = 0;
  for (const character of text) width += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60]|\p{Extended_Pictographic}/u.test(character) ? 11 : /[ilj.,:;!'|fIt ]/.test(character) ? 3.9 : /[mwMW@]/.test(character) ? 9.4 : /[A-Z]/.test(character) ? 7.4 : 6.3;
  return Math.ceil(width);
}

export function badgeSvg({ label, message, color }: Badge): string {
  const left = widthOf(label);
  const right = widthOf(message);
  const [labelWidth, messageWidth] = [left + 14, right + 14];
  const width = labelWidth + messageWidth;
  const title = `${escaped(label)}: ${message}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="22" role="img" aria-label="${title}"><title>${title}</title><clipPath id="r"><rect width="${width}" height="22" rx="5"/></clipPath>` +
    `<g clip-path="url(#r)"><path fill="#3b4350" d="M0 0h${labelWidth}v22H0z"/><path fill="${color}" d="M${labelWidth} 0h${messageWidth}v22H${labelWidth}z"/></g>` +
    `<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11"><text x="7" y="15" textLength="${left}" lengthAdjust="spacingAndGlyphs">${escaped(label)}</text>` +
    `<text x="${labelWidth + 7}" y="15" textLength="${right}" lengthAdjust="spacingAndGlyphs">${message}</text></g></svg>`;
}
