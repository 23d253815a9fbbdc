import t from "tap";
import { Lasting, turnMet } from "../../src/api/event-loop-lateness.js";

t.test("one stall sheds nobody, pressure that lasts does, and it ends with its cause", async (t) => {
  let now = 0;
  const lasting = new Lasting({ monotonic: () => now }, 2_000);
  const look = (at: number, holds: boolean): boolean => {
    now = at;
    lasting.look(holds);
    return lasting.isLong();
  };
  t.equal(lasting.isLong(), false);
  t.equal(look(0, true), false, "the first request after a stall is served");
  t.equal(look(1_999, true), false);
  t.equal(look(2_500, false), false);
  t.equal(look(2_500, true), false, "a later stall counts anew");
  t.equal(look(4_499, true), false);
  t.equal(look(4_500, true), true);
  now = 59_000;
  t.equal(lasting.isLong(), true, "what was seen last stands");
  t.equal(look(60_000, true), true);
  t.equal(look(60_001, false), false);
});

t.test("a stall is not hidden among short turns of the loop", async (t) => {
  /** Mean and standard deviation, in ns, of turns of these lengths in ms. */
  const of = (...turns: readonly number[]) => {
    const mean = turns.reduce((sum, ms) => sum + ms, 0) / turns.length;
    const stddev = Math.sqrt(turns.reduce((sum, ms) => sum + (ms - mean) ** 2, 0) / turns.length);
    return { mean: mean * 1e6, stddev: stddev * 1e6 };
  };
  const short = (count: number): number[] => Array.from({ length: count }, () => 10);
  const met = (...turns: readonly number[]): number => Math.round(turnMet(of(...turns)) * 1_000) / 1_000;
  t.equal(met(...short(100)), 10, "an idle loop");
  t.equal(met(500, 500, 500), 500);
  t.equal(met(2_500), 2_500);
  t.equal(met(2_500, ...short(50)), (2_500 ** 2 + 50 * 10 ** 2) / 3_000, "five sixths of all moments were in the stall");
  t.equal(turnMet({ mean: NaN, stddev: NaN }), 0, "no turn, no lateness");
});
