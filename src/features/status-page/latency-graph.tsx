/** @jsxRuntime automatic @jsxImportSource preact */
/** The latencies of a monitor over the last day, a line a region: drawn without scripts, and said in words. */
import type { Language } from "./language.js";

export interface LatencyLine {
  readonly region: string;
  /** Medians in ms, hour by hour, the oldest first; null where nothing is known. */
  readonly medians: readonly (number | null)[];
}

export interface LatencyGraphProps {
  /** What it is of, where a component has several; else null. */
  readonly name: string | null;
  readonly lines: readonly LatencyLine[];
  readonly language: Language;
}

/** Units of the drawing from top to bottom. Whole numbers: there are thousands on a page. */
const HEIGHT = 40;
/** Lines that can be told apart, by colour and by how they are broken. */
const STYLES = 6;

/** The least round number that nothing goes beyond. */
export function topOf(lines: readonly LatencyLine[]): number {
  const most = Math.max(1, ...lines.flatMap(({ medians }) => medians.filter((median) => median !== null)));
  const power = 10 ** Math.floor(Math.log10(most));
  return power * ([1, 1.5, 2, 3, 4, 5, 6, 8].find((step) => step * power >= most) ?? 10);
}

/** The line as SVG draws it, broken where nothing is known; a lone hour is a stroke. */
export function pathOf(medians: readonly (number | null)[], top: number): string {
  let path = "";
  let before: number | null = null;
  for (const [hour, median] of medians.entries()) {
    const y = median === null ? null : HEIGHT - Math.round((median / top) * HEIGHT);
    const isAlone = before === null && (medians[hour + 1] ?? null) === null;
    if (y !== null) path += before === null ? `M${hour} ${y}${isAlone ? "h-.3" : ""}` : `l1 ${y - before}`;
    before = y;
  }
  return path;
}

const known = ({ medians }: LatencyLine): number[] => medians.filter((median) => median !== null);

function inWords(line: LatencyLine, language: Language): string {
  const values = known(line);
  return `${line.region}: ${language.milliseconds(Math.min(...values))} – ${language.milliseconds(Math.max(...values))}`;
}

/** Nothing, where no region knows anything. */
export function LatencyGraph({ name, lines, language }: LatencyGraphProps) {
  const shown = lines.filter((line) => known(line).length > 0);
  if (shown.length === 0) return null;
  const hours = shown[0]?.medians.length ?? 0;
  const top = topOf(shown);
  const title = language.counted(language.texts.latency, hours);
  return (
    <figure class="latency">
      <figcaption>{name !== null && <b><bdi>{name}</bdi></b>}{title}</figcaption>
      <div class="plot">
        <svg viewBox={`0 0 ${hours - 1} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={`${title}. ${shown.map((line) => inWords(line, language)).join("; ")}`}>
          {shown.map((line, index) => <path key={line.region} class={`l${index % STYLES}`} d={pathOf(line.medians, top)} />)}
        </svg>
        <span aria-hidden="true">{language.milliseconds(top)}</span>
      </div>
      <ul>
        {shown.map((line, index) => <li key={line.region}><i class={`l${index % STYLES}`} aria-hidden="true" /><span dir="ltr">{line.region}</span> {language.milliseconds(known(line).at(-1) ?? 0)}</li>)}
      </ul>
    </figure>
  );
}
