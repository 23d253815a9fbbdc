/**
 * A page's own look: colours, logo and icon from its `theme`. What comes from outside is taken only where it is what it should be, and colours are moved until
 * text in them can be read (WCAG 2.2, contrast 4.5:1), so that no theme makes a page unreadable.
 *
 * `theme` takes: `brand_color` (hex), `logo_url`, `logo_dark_url`, `favicon_url` (https, or a picture as `data:`).
 */
import type { Json } from "../../core/change.js";

type Rgb = readonly [number, number, number];

export interface Theme {
  /** CSS text: custom properties for both schemes. Holds no text from outside but hex digits. */
  readonly css: string;
  readonly logo: string | null;
  readonly logoDark: string | null;
  readonly favicon: string | null;
  /** The origins that pictures come from, for the content security policy. */
  readonly pictureOrigins: readonly string[];
  /** Of the browser's frame, `#rrggbb`. */
  readonly color: string;
}

const BRAND: Rgb = [0x2b, 0x59, 0xc3];
const LIGHT: Rgb = [0xff, 0xff, 0xff];
const DARK: Rgb = [0x15, 0x1a, 0x21];
const CONTRAST_MIN = 4.8;
const PICTURE = /^data:image\/(?:png|jpeg|webp|gif|svg\+xml);base64,[A-Za-z0-9+/=]+$/;

function rgbOf(value: Json | undefined): Rgb | undefined {
  const hex = typeof value === "string" ? /^#(?:([0-9a-f]{6})|([0-9a-f]{3}))$/i.exec(value) : null;
  const digits = hex?.[1] ?? hex?.[2]?.replace(/./g, "$&$&");
  return digits === undefined ? undefined : [0, 2, 4].map((at) => Number.parseInt(digits.slice(at, at + 2), 16)) as unknown as Rgb;
}

const hexOf = (color: Rgb): string => `#${color.map((part) => Math.round(part).toString(16).padStart(2, "0")).join("")}`;

function luminance(color: Rgb): number {
  const [r, g, b] = color.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4)) as unknown as Rgb;
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** Source: WCAG 2.2, contrast ratio. */
export function contrast(a: Rgb, b: Rgb): number {
  const [low, high] = [luminance(a), luminance(b)].sort((one, other) => one - other) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

/** The colour, mixed with `towards` just so far that it can be read on `ground`. */
function readable(color: Rgb, ground: Rgb, towards: Rgb): Rgb {
  for (let share = 0; share < 1; share += 0.05) {
    const mixed = color.map((part, at) => part + ((towards[at] ?? 0) - part) * share) as unknown as Rgb;
    if (contrast(mixed, ground) >= CONTRAST_MIN) return mixed;
  }
  return towards;
}

/** A picture's address that may stand on the page. */
function pictureOf(value: Json | undefined): string | null {
  if (typeof value !== "string" || value.length > 16_384) return null;
  if (PICTURE.test(value)) return value;
  return URL.canParse(value) && new URL(value).protocol === "https:" ? new URL(value).href : null;
}

export function themeOf(theme: { readonly [key: string]: Json }): Theme {
  const brand = rgbOf(theme["brand_color"]) ?? BRAND;
  const light = readable(brand, [0xf4, 0xf6, 0xf8], [0, 0, 0]);
  const dark = readable(brand, DARK, LIGHT);
  const logo = pictureOf(theme["logo_url"]);
  const logoDark = pictureOf(theme["logo_dark_url"]);
  const favicon = pictureOf(theme["favicon_url"]);
  const origins = [logo, logoDark, favicon].flatMap((url) => (url === null || url.startsWith("data:") ? [] : [new URL(url).origin]));
  const on = (color: Rgb) => (contrast(color, LIGHT) >= contrast(color, DARK) ? "#ffffff" : hexOf(DARK));
  const properties = (color: Rgb) => `--brand:${hexOf(color)};--on-brand:${on(color)}`;
  return {
    css: `:root{${properties(light)}}@media (prefers-color-scheme:dark){:root{${properties(dark)}}}`,
    logo, logoDark, favicon, pictureOrigins: [...new Set(origins)], color: hexOf(brand),
  };
}
