import t from "tap";
import { limits } from "../../src/core/limits.js";
import { degradation, peerState, type HealthInput, type PeerHealth } from "../../src/core/membership.js";

const peer = (changed: Partial<PeerHealth> = {}): PeerHealth => ({ peer: "eu-west-1", region: "eu-west", counts: true, state: "up", oldestUnacknowledgedMs: 0, ...changed });
const normal: HealthInput = { peers: [peer(), peer({ peer: "ap-south-1" })], readOnly: undefined, majorityReachable: true, majorityVotes: true, voting: true, isVoter: true, quorumMs: 100 };

t.test("a peer is up while heartbeats come, suspect when they stop, down without a link", async (t) => {
  t.equal(peerState(true, 0, limits), "up");
  t.equal(peerState(true, 1_500, limits), "suspect");
  t.equal(peerState(true, 5_000, limits), "down");
  t.equal(peerState(false, 0, limits), "down");
});

t.test("each degradation has its level and a reason, and the worst is told", async (t) => {
  const level = (changed: Partial<HealthInput>): number => degradation({ ...normal, ...changed }, limits).level;
  t.same(degradation(normal, limits), { level: 0, reasons: [] });
  t.equal(level({ peers: [peer({ oldestUnacknowledgedMs: 60_001 }), peer()] }), 1);
  t.equal(level({ quorumMs: 2_001 }), 2);
  t.equal(level({ voting: false }), 3);
  t.equal(level({ majorityVotes: false }), 3);
  t.equal(level({ voting: false, isVoter: false }), 0);
  t.equal(level({ majorityReachable: false }), 3);
  const down = [peer({ state: "down" }), peer({ state: "down" })];
  t.equal(level({ peers: down, majorityReachable: false }), 4);
  t.equal(level({ peers: [...down, peer({ counts: false })] }), 4, "an edge is no company");
  t.equal(level({ peers: [peer({ counts: false, state: "down", oldestUnacknowledgedMs: 1e9 })] }), 0, "an edge that is away is no degradation");
  t.equal(level({ peers: [] }), 0, "one replica alone by configuration is normal");
  const worst = degradation({ ...normal, readOnly: "the disk is full", majorityReachable: false, quorumMs: 9_000 }, limits);
  t.equal(worst.level, 5);
  t.equal(worst.reasons[0], "the disk is full");
  t.equal(worst.reasons.length, 3, JSON.stringify(worst.reasons));
});
