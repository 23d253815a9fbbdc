/** A visitor has the page open in a real Chromium when the region that serves it is killed. Skipped where Debian's `chromium` is not installed. */
import { existsSync } from "node:fs";
import { chromium, type Page } from "playwright-core";
import t from "tap";
import { LinkProxy } from "../processes/link-proxy.js";
import { settled, World } from "../processes/world.js";

const CHROMIUM = "/usr/bin/chromium";
const skip = existsSync(CHROMIUM) ? false : "Chromium is not installed (Debian: apt-get install chromium)";
const DEADLINE_MS = 60_000;

t.setTimeout(300_000);

async function show(name: string, page: Page): Promise<void> {
  await page.getByRole("heading", { name }).waitFor({ timeout: DEADLINE_MS });
}

t.test("the page goes on with another region, by its stream and by asking; it warns when its region is cut off, and when nobody answers for a minute", { skip }, async (t) => {
  const world = await World.start(t);
  // What stands in front of the regions of a page: one address that leads to one that lives.
  const front = await LinkProxy.listen();
  t.teardown(() => front.close());
  const leadTo = (base: string): void => {
    front.leadTo(Number(new URL(base).port));
  };
  leadTo(world.eu.http);
  await world.us.post("/v1/pages/default/components", { name: "API" });
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  t.teardown(() => browser.close());
  const page = await browser.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  await page.clock.install();
  await page.goto(`http://127.0.0.1:${front.port}/pages/default`);
  await page.locator(".checked.open").waitFor({ state: "attached" });
  t.match(await page.locator(".fresh").textContent(), /eu-west/);
  await page.evaluate(() => {
    (globalThis as unknown as { kept: boolean }).kept = true;
  });
  const isSameDocument = () => page.evaluate(() => (globalThis as unknown as { kept?: boolean }).kept);

  await world.eu.kill();
  leadTo(world.ap.http);
  const made = await world.us.post("/v1/pages/default/incidents", { name: "Posted after the kill" });
  t.equal(made.status, 201);
  // The time after which a browser dials again is the browser's own.
  await show("Posted after the kill", page);
  t.match(await page.locator(".fresh").textContent(), /ap-south/, "another region serves it");
  t.equal(await isSameDocument(), true, "without a reload");

  // Where no stream comes through, it asks.
  await page.route("**/events", (route) => route.abort());
  front.reset();
  await world.us.post("/v1/pages/default/incidents", { name: "Found by asking" });
  await settled("ap-south has it", async () => (await world.ap.get("/pages/default/api/v2/summary.json", { key: null })).text.includes("Found by asking"));
  await page.clock.fastForward(25_000);
  await show("Found by asking", page);
  t.equal(await isSameDocument(), true);

  t.equal(await page.locator("#notice .notice").count(), 0, "all is well so far");
  await world.us.kill();
  await settled("ap-south knows that it is alone", async () => (await world.ap.get("/pages/default", { key: null })).text.includes('class="notice"'), DEADLINE_MS);
  await page.clock.fastForward(25_000);
  await page.locator("#notice .notice").first().waitFor();
  t.ok(await page.locator("#notice .notice").first().isVisible(), "the page's region is cut off");
  t.equal(await page.locator("#stale").count(), 0, "though what it says is fresh");
  await page.clock.fastForward(5_000);
  t.equal(await page.locator(".checked.open").count(), 0, "and it does not say that it is live");
  t.notMatch(await page.locator(".checked").textContent(), /\b[0-9] seconds?\b/, "nor that it is up to date, however often it is asked");

  await world.ap.kill();
  await page.clock.fastForward(65_000);
  await page.locator("#stale").waitFor();
  t.match(await page.locator("#stale").textContent(), /minute/, "and says how old the page is");
  t.ok(await page.getByRole("heading", { name: "Found by asking" }).isVisible(), "what was there stays");
  t.equal(await isSameDocument(), true);
});
