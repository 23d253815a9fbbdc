/** What the benches measure, how runs become one figure, and how it is printed. */

export interface Metric {
  readonly bench: string;
  readonly metric: string;
  readonly value: number;
  readonly unit: string;
  /** Lowest and highest of the runs behind `value`, which is their median. */
  readonly spread?: readonly [low: number, high: number];
  readonly runs?: number;
  /** The limit or peer of the same run. */
  readonly beside?: { readonly name: string; readonly value: number; readonly unit: string; readonly spread?: readonly [number, number] };
  /** `value` over that of `beside`. */
  readonly ratio?: number;
  readonly goal?: string;
  readonly met?: boolean;
  readonly note?: string;
}

/** What a goal bounds: the value itself, its ratio to what stands beside it, or how far it lies above that. */
type Bounded = "value" | "ratio" | "excess";

export interface Goal {
  readonly text: string;
  readonly of: Bounded;
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** The median and the extremes of some runs. */
export interface Sample {
  readonly median: number;
  readonly spread: readonly [low: number, high: number];
  readonly runs: number;
}

export function percentile(values: ArrayLike<number>, share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function sampleOf(values: readonly number[]): Sample {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? (sorted[middle] ?? Number.NaN) : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
  return { median, spread: [sorted[0] ?? Number.NaN, sorted.at(-1) ?? Number.NaN], runs: values.length };
}

function bounded(of: Bounded, value: number, beside: number | undefined): number | undefined {
  if (of === "value") return value;
  if (beside === undefined) return undefined;
  return of === "ratio" ? value / beside : value - beside;
}

export interface Finding {
  readonly metric: string;
  readonly unit: string;
  readonly value: number | Sample;
  readonly beside?: { readonly name: string; readonly unit?: string; readonly value: number | Sample };
  readonly goal?: Goal;
  readonly note?: string;
}

export function metricOf(bench: string, { metric, unit, value, beside, goal, note }: Finding): Metric {
  const figure = typeof value === "number" ? { value } : { value: value.median, spread: value.spread, runs: value.runs };
  const besideValue = typeof beside?.value === "number" ? beside.value : beside?.value.median;
  const comparable = beside?.unit === undefined || beside.unit === unit;
  const judged = goal === undefined ? undefined : bounded(goal.of, figure.value, besideValue);
  return {
    bench, metric, unit, ...figure,
    ...(beside === undefined || besideValue === undefined ? {} : {
      beside: { name: beside.name, value: besideValue, unit: beside.unit ?? unit, ...(typeof beside.value === "number" ? {} : { spread: beside.value.spread }) },
      ...(comparable ? { ratio: figure.value / besideValue } : {}),
    }),
    ...(goal === undefined ? {} : { goal: goal.text }),
    ...(goal === undefined || judged === undefined ? {} : { met: judged >= (goal.atLeast ?? Number.NEGATIVE_INFINITY) && judged <= (goal.atMost ?? Number.POSITIVE_INFINITY) }),
    ...(note === undefined ? {} : { note }),
  };
}

export function figureText(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  return size >= 1_000 ? Math.round(value).toLocaleString("en-US") : size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** JSON without digits that mean nothing. */
export function metricLine(metric: Metric): string {
  return JSON.stringify(metric, (_key, value: unknown) => (typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value));
}

/** The table as README.md shows it. */
export function readmeTable(metrics: readonly Metric[]): string {
  const withUnit = (value: number, unit: string): string => `${figureText(value)} ${unit}`.trimEnd();
  const rows = metrics.map(({ metric, value, unit, spread, beside, ratio, goal, met }) => [
    metric, withUnit(value, unit) + (spread === undefined || spread[0] === spread[1] ? "" : ` (${spread.map(figureText).join("–")})`),
    beside === undefined ? "" : `${beside.name}: ${withUnit(beside.value, beside.unit)}`, ratio === undefined ? "" : figureText(ratio),
    goal === undefined ? "" : `${goal} ${met === true ? "✓" : "— missed"}`,
  ]);
  return [["what", "measured", "limit or peer", "ratio", "goal"], ["---", "---", "---", "---", "---"], ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
}

/**
 * What stands between README.md's markers after some benches were run by name: their rows in the place of those of the same metric, or at the end, and
 * when that was. What the whole run found stays.
 */
export function withRowsOf(block: string, metrics: readonly Metric[], names: readonly string[], where: string): string {
  const lines = block.trim().split("\n");
  const apart = `Apart from the whole, \`${names.join("`, `")}\`: m${where.slice(1)}.`;
  const rows = readmeTable(metrics).split("\n").slice(2);
  const nameOf = (row: string): string => row.split(" | ", 1)[0] ?? "";
  for (const row of rows) {
    const at = lines.findIndex((line) => line.startsWith("| ") && nameOf(line) === nameOf(row));
    if (at >= 0) lines[at] = row;
    else lines.push(row);
  }
  const said = lines.findIndex((line) => line.startsWith(`Apart from the whole, \`${names.join("`, `")}\``));
  if (said >= 0) lines[said] = apart;
  else lines.splice(Math.max(0, lines.findIndex((line) => line.startsWith("| ")) - 1), 0, "", apart);
  return lines.join("\n");
}

/** Ratios of the last accepted run, by bench and metric; the value itself where nothing stands beside it. */
export type Baselines = Readonly<Record<string, number>>;

export const baselineName = ({ bench, metric }: Metric): string => `${bench}: ${metric}`;
export const baselineValue = ({ ratio, value }: Metric): number => ratio ?? value;

export function metricTable(metrics: readonly Metric[], baselines: Baselines): string {
  const headings = ["bench", "metric", "figure", "spread", "beside", "ratio", "accepted", "goal", ""];
  const rows = metrics.map((metric) => {
    const accepted = baselines[baselineName(metric)];
    return [
      metric.bench, metric.metric, `${figureText(metric.value)} ${metric.unit}`,
      metric.spread === undefined ? "" : metric.spread.map(figureText).join("–"),
      metric.beside === undefined ? "" : `${metric.beside.name} ${figureText(metric.beside.value)} ${metric.beside.unit}`,
      metric.ratio === undefined ? "" : figureText(metric.ratio),
      accepted === undefined ? "" : figureText(accepted),
      metric.goal ?? "", metric.met === undefined ? "" : metric.met ? "met" : "MISSED",
    ];
  });
  const widths = headings.map((heading, i) => Math.max(heading.length, ...rows.map((row) => row[i]?.length ?? 0)));
  return [headings, ...rows].map((row) => row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ").trimEnd()).join("\n");
}
