import fc from "fast-check";
import { randomInt } from "node:crypto";
import t from "tap";
import { copyVector, dominates, encodeVector, equalVectors, isOrigin, join, meet, parseVector, surplus, type Vector } from "../../src/core/vector.js";

const seed = Number(process.env["STATUSMESH_TEST_SEED"] ?? randomInt(2 ** 31));
t.comment(`seed ${seed}`);

const vector: fc.Arbitrary<Vector> = fc.dictionary(fc.constantFrom("us-east-1.1", "eu-west-1.1", "ap-south-1.zz", "~"), fc.integer({ min: 1, max: 6 })).map((entries) => copyVector(entries));

t.test("joining is the least upper bound, meeting the greatest lower one", async (t) => {
  fc.assert(
    fc.property(vector, vector, vector, (a, b, c) => {
      const joined = join(a, b);
      const met = meet(a, b);
      return (
        equalVectors(joined, join(b, a)) && equalVectors(join(joined, c), join(a, join(b, c))) && equalVectors(join(a, a), a) &&
        dominates(joined, a) && dominates(joined, b) && (!(dominates(c, a) && dominates(c, b)) || dominates(c, joined)) &&
        dominates(a, met) && dominates(b, met) && (!(dominates(a, c) && dominates(b, c)) || dominates(met, c)) &&
        equalVectors(join(a, meet(a, b)), a)
      );
    }),
    { seed },
  );
  t.pass("a lattice");
});

t.test("a vector lacks nothing of another exactly where that has no surplus, and equal texts are equal vectors", async (t) => {
  fc.assert(
    fc.property(vector, vector, (a, b) => dominates(a, b) === (surplus(b, a) === 0) && (encodeVector(a) === encodeVector(b)) === equalVectors(a, b) && equalVectors(parseVector(JSON.parse(JSON.stringify(a)), 10) ?? {}, a)),
    { seed },
  );
  t.pass("consistent");
});

t.test("what is no vector is refused", async (t) => {
  const bad: unknown[] = [null, 5, "x", [1], { "us-east-1.1": 0 }, { "us-east-1.1": -1 }, { "us-east-1.1": 1.5 }, { "us-east-1.1": 2 ** 53 }, { "us-east-1.1": "1" }, { "UPPER.1": 1 }, { "no-incarnation": 1 }, JSON.parse('{"__proto__":1}'), { "": 1 }, { "a.1": 1, "b.1": 1, "c.1": 1 }];
  for (const value of bad) t.equal(parseVector(value, 2), undefined, JSON.stringify(value));
  t.equal(Object.getPrototypeOf(parseVector({ "a.1": 1 }, 2)), null);
  t.ok(isOrigin("~") && isOrigin("us-east-1.mwpx1ktk") && !isOrigin("us-east-1.") && !isOrigin("~.1"));
});
