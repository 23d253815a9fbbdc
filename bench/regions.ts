/** The regions that the benches run, and how far apart they are. */

export const REGIONS = ["us-east", "eu-west", "ap-south"] as const;
export type Region = (typeof REGIONS)[number];

/** Round trips between regions, ms. */
const ROUND_TRIPS: readonly { readonly between: readonly [Region, Region]; readonly ms: number }[] = [
  { between: ["us-east", "eu-west"], ms: 80 },
  { between: ["us-east", "ap-south"], ms: 180 },
  { between: ["eu-west", "ap-south"], ms: 150 },
];

export function roundTripMs(a: Region, b: Region): number {
  if (a === b) return 0;
  return ROUND_TRIPS.find(({ between }) => between.includes(a) && between.includes(b))?.ms ?? 0;
}

/** The region whose answer makes a majority of three with `region`'s own. */
export function nearest(region: Region): Region {
  const others = REGIONS.filter((other) => other !== region);
  return others.reduce((best, other) => (roundTripMs(region, other) < roundTripMs(region, best) ? other : best));
}
