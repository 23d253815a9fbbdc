/** @jsxRuntime automatic @jsxImportSource preact */
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";
import { htmlDocument } from "../../src/features/status-page/html-document.js";
import { StatusView } from "../../src/features/status-page/status-view.js";
import { EventView } from "../../src/features/status-page/event-view.js";
import { UptimeView } from "../../src/features/status-page/uptime-view.js";
import { HistoryView } from "../../src/features/status-page/history-view.js";
import { sampleContext, sampleDays, sampleModel, samplePast } from "./sample-page.js";
import type { LanguageCode } from "../../src/features/status-page/language.js";
const server = createServer((request, response) => {
  const url = new URL(request.url ?? "/", "http://x");
  if (url.pathname === "/assets/page.css") return response.setHeader("content-type", "text/css").end(readFileSync("web/page/page.css"));
  if (url.pathname === "/assets/page.js") return response.setHeader("content-type", "text/javascript").end(readFileSync("web/page/page.js"));
  const lang = (url.searchParams.get("lang") ?? "en") as LanguageCode;
  const context = sampleContext(lang, url.searchParams.has("cut") ? { cutOffSince: "2026-11-25T21:30:00.000Z" } : {});
  response.setHeader("content-type", "text/html; charset=utf-8");
  if (url.pathname === "/ok") response.end(htmlDocument(<StatusView context={context} model={{ ...sampleModel, openIncidents: [], activeMaintenances: [], upcomingMaintenances: [], components: sampleModel.components.map((c) => ({ ...c, status: "operational" as const })) }} past={samplePast} daysOf={sampleDays} barDays={90} pastDays={14} />));
  else if (url.pathname === "/empty") response.end(htmlDocument(<StatusView context={context} model={{ ...sampleModel, groups: [], openIncidents: [], activeMaintenances: [], upcomingMaintenances: [], components: [] }} past={[]} daysOf={sampleDays} barDays={90} pastDays={14} />));
  else if (url.pathname === "/incident") response.end(htmlDocument(<EventView context={context} event={sampleModel.openIncidents[0] as never} indicator="major" />));
  else if (url.pathname === "/uptime") response.end(htmlDocument(<UptimeView context={context} model={sampleModel} indicator="major" daysOf={sampleDays} months={["2026-09", "2026-10", "2026-11"]} earlier="2026-08" later={null} />));
  else if (url.pathname === "/history") response.end(htmlDocument(<HistoryView context={context} indicator="major" months={[{ month: "2026-11", events: samplePast }, { month: "2026-10", events: [] }]} earlier="2026-09" later={null} />));
  else response.end(htmlDocument(<StatusView context={context} model={sampleModel} past={samplePast} daysOf={sampleDays} barDays={90} pastDays={14} />));
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const { port } = server.address() as { port: number };
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
for (const [name, path, colorScheme, width] of [
  ["light", "/", "light", 1100], ["dark", "/", "dark", 1100], ["phone", "/", "light", 390], ["rtl", "/?lang=ar&cut", "light", 900], ["incident", "/incident", "light", 1000], ["empty", "/empty", "light", 1000],
  ["uptime", "/uptime", "light", 1000], ["history", "/history?lang=de", "dark", 800], ["ok", "/ok", "light", 1100],
] as const) {
  if (process.argv[2] !== undefined && !process.argv[2].split(",").includes(name)) continue;
  const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme, timezoneId: "Europe/Berlin" });
  page.on("console", (message) => { if (!message.text().includes("EventSource")) console.log(name, message.text()); });
  page.on("pageerror", (error) => console.log(name, error));
  await page.goto(`http://127.0.0.1:${port}${path}`);
  await page.waitForTimeout(300);
  await page.screenshot({ path: `/tmp/page-shots/${name}.png`, fullPage: true });
  await page.close();
}
await browser.close();
server.close();
