import fc from "fast-check";
import { randomInt } from "node:crypto";
import t from "tap";
import { copyVector, equalVectors } from "../../src/core/vector.js";
import { decodeToken, encodeToken } from "../../src/store/session-token.js";

const seed = Number(process.env["STATUSMESH_TEST_SEED"] ?? randomInt(2 ** 31));
t.comment(`seed ${seed}`);

const vector = fc.dictionary(fc.stringMatching(/^[a-z][a-z0-9-]{0,20}\.[a-z0-9]{1,10}$/), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), { maxKeys: 8 }).map(copyVector);

t.test("a token gives back the vector, without the retired origins", async (t) => {
  fc.assert(
    fc.property(vector, fc.nat(), (held, pick) => {
      const origins = Object.keys(held);
      const retired = new Set(origins.filter((_, index) => ((pick >> index) & 1) === 1));
      const token = encodeToken(held, retired);
      const expected = copyVector(held);
      for (const origin of retired) delete expected[origin];
      const decoded = decodeToken(token, 4_096);
      return decoded !== undefined && equalVectors(decoded, expected) && /^[\w.-]+$/.test(token);
    }),
    { seed },
  );
  t.same(decodeToken(encodeToken({}, new Set()), 100), copyVector({}));
});

t.test("a token of five regions is at most 512 bytes long", async (t) => {
  const five = Object.fromEntries(["us-east-1", "eu-west-1", "ap-south-1", "sa-east-1", "af-south-1"].map((replica) => [`${replica}.mwpx1ktk`, 999_999_999_999]));
  t.ok(encodeToken(five, new Set()).length <= 512);
});

t.test("anything else is no token", async (t) => {
  const of = (text: string): string => `v1.${Buffer.from(text).toString("base64url")}`;
  const good = of("us-east-1.1=5");
  t.ok(decodeToken(good, 100));
  const bad = ["", "v1", "v2.abc", "v1.***", `${good}=`, `${good} `, of("us-east-1.1"), of("us-east-1.1=0"), of("us-east-1.1=05"), of("us-east-1.1=5=5"), of("us-east-1.1=1e3"), of("us-east-1.1=9999999999999999"), of("__proto__=1"), of("US.1=1"), of("us-east-1.1=5,"), "v1.YR", `v1.${"A".repeat(200)}`];
  for (const token of bad) t.equal(decodeToken(token, 100), undefined, token);
  fc.assert(fc.property(fc.string(), (text) => { decodeToken(text, 4_096); decodeToken(`v1.${text}`, 4_096); return true; }), { seed });
});
