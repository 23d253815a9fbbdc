/** Every bound of the system, its unit last in its name. The relations below are asserted when the module loads. */
import { assert } from "./errors.js";

export const limits = {
  // changes and documents
  changeBytesMax: 2 * 1024 * 1024,
  operationsMax: 5_000,
  jsonDepthMax: 64,
  originsMax: 4_096,
  requestBodyBytes: 1024 * 1024,
  idempotencyBodyBytes: 256 * 1024,
  idempotencyKeptMs: 24 * 3_600_000,
  /** Kept answers that one message carries, and how long a peer may take to send it. */
  answersPerMessage: 200,
  answersTimeoutMs: 10_000,
  documentCacheBytes: 96 * 1024 * 1024,
  automergeCacheDocuments: 32,
  // commit
  stagedChangesMax: 20_000,
  // replication
  pushDelayMs: 10,
  entriesPerMessage: 100,
  entriesMessageBytes: 64 * 1024,
  linkWindowBytes: 2 * 1024 * 1024,
  linkOutboxBytes: 16 * 1024 * 1024,
  messageBytesMax: 8 * 1024 * 1024,
  recentLogBytes: 16 * 1024 * 1024,
  pendingEntriesBytes: 4 * 1024 * 1024,
  /** Work on a peer's entries that is done in one turn of the event loop, and entries that go into one batch: what a reader waits for at most. */
  sliceMs: 4,
  sliceEntries: 100,
  batchedEntries: 100,
  arrivalsPerRecord: 200,
  logEntriesKept: 20_000,
  logEntriesMax: 500_000,
  trimEveryMs: 2_000,
  /** Pages that an edge may be told to keep. */
  keptPagesMax: 1_000,
  /** Between two notes of an edge that it hears regions, for the age of what it shows when it starts without them. */
  heardNotedMs: 30_000,
  logBytesMax: 1024 * 1024 * 1024,
  heartbeatMs: 250,
  suspectAfterMs: 1_500,
  downAfterMs: 5_000,
  reconnectMinMs: 100,
  reconnectMaxMs: 2_000,
  clockSkewMsMax: 60_000,
  // numbered records that features replicate
  /** How often each peer is asked, how long it may take, and what it may answer at once. */
  recordsEveryMs: 2_000,
  recordsTimeoutMs: 10_000,
  recordsAnswerBytes: 1024 * 1024,
  recordsPerAnswerMax: 5_000,
  recordBytesMax: 64 * 1024,
  recordOverheadBytes: 256,
  recordOriginsMax: 256,
  /** Length of a position in what follows from records that are gone. */
  recordPositionMax: 512,
  // consistency
  sessionWaitMs: 2_000,
  sessionWaitMaxMs: 30_000,
  sessionTokenBytes: 4_096,
  quorumTimeoutMs: 5_000,
  quorumTimeoutMinMs: 100,
  quorumTimeoutMaxMs: 30_000,
  majorityLostMs: 2_000,
  quorumOperationsMax: 10_000,
  quorumMessagesHeld: 1_000,
  operationIdsRemembered: 256,
  // public pages
  publicEventsScannedMax: 2_000,
  publicEventsShownMax: 200,
  publicBarDays: 90,
  publicPastDays: 14,
  publicTroubledFreshMs: 60_000,
  /** Of a page that is rendered in parts, until something else has its turn. */
  publicRenderingTurnMs: 8,
  /** Updates of one incident or maintenance: on the page, on a page of its own, in feeds, in Statuspage's API, in an event of a stream. */
  publicUpdatesOnPageMax: 50,
  publicUpdatesOnOwnPageMax: 100,
  publicUpdatesInFeedMax: 25,
  publicUpdatesInListMax: 100,
  publicUpdatesInEventMax: 20,
  /** Updates of all that one answer shows, and characters of their bodies: rendered as Markdown, and as they are. */
  publicUpdatesRenderedMax: 300,
  publicCharactersRenderedMax: 128 * 1024,
  publicUpdatesListedMax: 2_000,
  publicCharactersListedMax: 1024 * 1024,
  /** Updates that are looked at in one turn where a timeline is looked at for the first time. */
  timelineSliceUpdates: 500,
  publicNameLengthMax: 128,
  publicCancelledKeptMs: 30 * 86_400_000,
  publicCancelledMax: 50,
  markdownKeptBytes: 4 * 1024 * 1024,
  // health
  scrubEveryMs: 6 * 3_600_000,
  laggingAfterMs: 60_000,
  quorumSlowMs: 2_000,
  startVerifyBytes: 256 * 1024 * 1024,
  reopenAfterMs: 3_000,
  /** After a start writes wait this long at most until every peer has said what it holds of this replica's log. */
  introductionMs: 2_500,
} as const;

export type Limits = typeof limits;

/** Bounds of the watchers: checks, opinions, results. */
export const watchLimits = {
  checksAtOnceMax: 500,
  checksWaitingMax: 20_000,
  firstCheckWithinMs: 30_000,
  soonWithinMs: 1_000,
  canaryFreshMs: 2_000,
  canaryTimeoutMs: 3_000,
  runnerSilentMs: 15_000,
  runnerRestartMs: 1_000,
  runnerHeapMiB: 512,
  roundMs: 1_000,
  slice: 200,
  monitorsMax: 20_000,
  opinionAgesOutMs: 20_000,
  hearingSettlesMs: 3_000,
  presenceSettlesMs: 8_000,
  regionStaggerMs: 1_500,
  resultsFlushMs: 1_000,
  resultsWaitingMax: 50_000,
  resultsKeptMs: 48 * 3_600_000,
  minutesKeptMs: 7 * 86_400_000,
  hoursKeptMs: 90 * 86_400_000,
  daysKeptMs: 800 * 86_400_000,
  sketchBucketsMax: 1_024,
  resultsPerAnswerMax: 1_000,
  uptimeDaysMax: 366,
  latencyHours: 24,
  latencyFreshMs: 300_000,
  latencyPartialMs: 60_000,
  latencyMonitorsMax: 200,
  latencyPagesMax: 500,
  fetchTimeoutMs: 2_000,
  runTimeoutMs: 150_000,
} as const;

/** Bounds of what other monitors tell. */
export const alertLimits = {
  /** Body of a notification: a group with thousands of alerts is larger than an ordinary request. */
  notificationBytes: 4 * 1024 * 1024,
  alertsPerNotificationMax: 5_000,
  /** Alerts of a notification that go into one batch. */
  alertsPerBatch: 400,
  /** Labels and annotations of an alert that are kept, as JSON. */
  alertBytes: 1_536,
  alertsPerGroupMax: 2_000,
  alertGroupsMax: 10_000,
  /** A group with nothing firing is forgotten after so long, or when it has grown so large. */
  alertGroupKeptMs: 7 * 86_400_000,
  alertGroupAlertsKept: 500,
  /** A resolved alert that is told to fire again with its old start, later than this, does: sooner it is an old notification that came late. */
  refireAfterMs: 120_000,
  /** How often groups that changed are looked at, and those in which something fires. */
  roundMs: 1_000,
  lookAgainMs: 10_000,
  allGroupsEveryMs: 3_600_000,
  /** How much later each further replica acts on what another one took in. */
  staggerMs: 2_000,
  groupsPerSlice: 100,
  webhooksMax: 100,
  rulesMax: 200,
  matchersMax: 16,
  patternsKept: 1_000,
  /** How far the time of a signature may be off. */
  signatureSkewMs: 300_000,
} as const;

/** Bounds of runners in processes of their own. */
export const runnerLimits = {
  beatMs: 500,
  leaseMs: 2_500,
  lookEveryMs: 250,
  runnersMax: 64,
  resultsPerBeatMax: 500,
  resultsHeldMax: 20_000,
  answerTimeoutMs: 2_000,
} as const;

assert(runnerLimits.answerTimeoutMs < runnerLimits.leaseMs && 4 * runnerLimits.beatMs < runnerLimits.leaseMs, "a lease outlives a beat that is lost");

/** Bounds of the sealed history. */
export const sealLimits = {
  lookEveryMs: 5_000,
  /** How long after its end an hour is sealed: what was seen in it is written by then. */
  delayMs: 60_000,
  /** What is older when it turns up is not sealed any more. */
  windowMs: 8 * 86_400_000,
  touchedMax: 50_000,
  slice: 200,
  recordsPerSealMax: 1_000,
  bytesPerSealMax: 512 * 1024,
  sealsPerProofMax: 10_000,
} as const;

assert(sealLimits.recordsPerSealMax < limits.operationsMax && 2 * sealLimits.bytesPerSealMax < limits.changeBytesMax, "a seal's records must fit a change");
assert(watchLimits.hearingSettlesMs < watchLimits.opinionAgesOutMs, "who is heard is known before opinions age out");
assert(watchLimits.presenceSettlesMs > 3 * watchLimits.roundMs, "a region is unsettled until every replica has had rounds to notice that it came or went");

// A change holds what was there before as well.
assert(2 * alertLimits.alertsPerBatch * alertLimits.alertBytes < limits.changeBytesMax, "a batch of alerts must fit a change");

assert(limits.entriesMessageBytes < limits.linkWindowBytes, "a message must fit the window");
assert(limits.changeBytesMax + limits.entriesMessageBytes < limits.messageBytesMax, "a change must fit a message");
assert(limits.requestBodyBytes < limits.changeBytesMax, "a request must fit a change");
assert(limits.messageBytesMax <= limits.linkOutboxBytes, "a message must fit the outbox");
assert(limits.recordsAnswerBytes / limits.recordOverheadBytes + 2 < limits.recordsPerAnswerMax, "who answers keeps to the bound of who asks");
assert(limits.recordsAnswerBytes + 2 * limits.recordBytesMax < limits.messageBytesMax, "an answer of records must fit a message");
assert(limits.reconnectMaxMs < limits.introductionMs, "who is there is met in time");
assert(limits.heartbeatMs < limits.suspectAfterMs && limits.suspectAfterMs < limits.downAfterMs, "suspicion follows silence");
assert(limits.quorumTimeoutMs <= limits.quorumTimeoutMaxMs && limits.sessionWaitMs <= limits.sessionWaitMaxMs, "defaults lie in range");
