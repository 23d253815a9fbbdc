/** Waiting for what other processes do. */

/** Waits until the condition holds, trying again and again; what it throws counts as "not yet". */
export async function settled(what: string, condition: () => boolean | Promise<boolean>, deadlineMs = 30_000): Promise<void> {
  const until = performance.now() + deadlineMs;
  let last: unknown;
  for (;;) {
    try {
      if (await condition()) return;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() > until) throw new Error(`not within ${deadlineMs} ms: ${what}${last === undefined ? "" : ` (${String(last)})`}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
