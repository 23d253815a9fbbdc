import t from "tap";
import { lasting } from "../../src/api/server.js";

t.test("one stall sheds nobody, pressure that lasts does, and it ends with its cause", async (t) => {
  let now = 0;
  let late = true;
  const isShedding = lasting(() => late, { monotonic: () => now }, 2_000);
  t.equal(isShedding(), false, "the first request after a stall is served");
  now = 1_999;
  t.equal(isShedding(), false);
  late = false;
  now = 2_500;
  t.equal(isShedding(), false);
  late = true;
  t.equal(isShedding(), false, "a later stall counts anew");
  now = 4_499;
  t.equal(isShedding(), false);
  now = 4_500;
  t.equal(isShedding(), true);
  now = 60_000;
  t.equal(isShedding(), true);
  late = false;
  t.equal(isShedding(), false);
});
