/** Every bound of the HTTP side, its unit last in its name. What routes and store share stands in `core/limits.ts`. */
export const apiLimits = {
  requestIdLengthMax: 128,
  idempotencyKeyLengthMax: 255,
  ifMatchTagsMax: 32,
  cursorLengthMax: 4_096,
  listLimit: 25,
  listLimitMax: 100,
  headerBytesMax: 16 * 1024,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  /** A silent socket is closed after this; longer than any request may wait. */
  connectionTimeoutMs: 75_000,
  keepAliveTimeoutMs: 60_000,
  /** How often connections are looked at for requests that take too long to arrive. */
  connectionsCheckedEveryMs: 2_000,
  /** Connections beyond those that are served which are told so. */
  surplusConnectionsMax: 32,
  validationErrorsMax: 20,
  bearerTokenLengthMax: 512,
  verifiedTokensMax: 10_000,
  refusedTokensMax: 10_000,
  scryptConcurrentMax: 2,
  scryptWaitingMax: 64,
  rateLimitTracked: 20_000,
  compressAboveBytes: 8 * 1024,
  eventLoopDelayMsMax: 1_000,
  eventLoopSampleMs: 1_000,
  /** Requests are shed once the event loop has been late for this long. */
  shedAfterMs: 2_000,
  cutOffLookMs: 500,
  retryAfterSeconds: 1,
  publicCacheBytes: 64 * 1024 * 1024,
  componentHistoriesMax: 10_000,
  /** How long after a change the history of its component is written down. */
  componentHistoryWriteMs: 2_000,
  acceptEncodingsKept: 1_000,
  edgeAnswerMs: 5_000,
  edgeCatchUpMs: 1_500,
  eventStreamsMax: 20_000,
  eventStreamsPerAddressMax: 12_000,
  eventEntriesKept: 20_000,
  eventBackfillMax: 1_000,
  eventBufferBytes: 256 * 1024,
  eventHeartbeatMs: 15_000,
  eventRetryMs: 2_000,
  /** How long a stream that was ended may take to read what is under way. */
  eventCloseMs: 5_000,
} as const;
