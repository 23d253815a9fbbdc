import { test } from "tap";
import { Reach } from "../../chaos/reach.js";

function newReach(): { reach: Reach; at: (ms: number) => void } {
  let now = 0;
  const reach = new Reach(["us-east", "eu-west", "ap-south"], () => now);
  return { reach, at: (ms) => { now = ms; } };
}

const told = (intervals: Reach["withoutMajority"]): string[] => intervals.map(({ replica, fromMs, untilMs }) => `${replica} ${fromMs}-${untilMs}`).sort();
const ALL = [["us-east", "eu-west"], ["us-east", "ap-south"], ["eu-west", "ap-south"]] as const;

test("links that are slow put majorities in doubt, and prove nothing", async (t) => {
  const { reach, at } = newReach();
  at(1);
  reach.doubt(ALL);
  at(5);
  reach.heals(ALL);
  t.same(told(reach.withoutMajority), []);
  t.same(told(reach.majorityInDoubt), ["ap-south-1 1-5", "eu-west-1 1-5", "us-east-1 1-5"]);
});

test("a cut takes the majority of who is alone; from before it is healed until after, it is in doubt", async (t) => {
  const { reach, at } = newReach();
  const pairs = [["us-east", "eu-west"], ["us-east", "ap-south"]] as const;
  reach.doubt(pairs);
  at(1);
  reach.cut(pairs);
  at(5);
  reach.opens(pairs);
  at(6);
  reach.heals(pairs);
  t.same(told(reach.withoutMajority), ["us-east-1 1-5"]);
  t.same(told(reach.majorityInDoubt), ["us-east-1 0-6"]);
});

test("replicas that were killed are out for sure until they are started; those that are told to stop may still vote", async (t) => {
  const { reach, at } = newReach();
  reach.stops("us-east", true);
  at(1);
  reach.stops("eu-west", false);
  at(2);
  reach.stops("eu-west", true);
  at(5);
  reach.stirs("eu-west");
  at(7);
  reach.serves("eu-west");
  reach.serves("us-east");
  t.same(told(reach.withoutMajority), ["ap-south-1 2-5", "eu-west-1 2-5", "us-east-1 0-7"]);
  t.same(told(reach.majorityInDoubt), ["ap-south-1 1-7", "eu-west-1 1-7", "us-east-1 0-7"]);
});
