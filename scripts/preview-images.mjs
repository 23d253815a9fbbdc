/** Draws the pictures that links to a status page are shown with (web/page/preview-*.png), with a browser. Usage: node scripts/preview-images.mjs [path of Chromium] */
import path from "node:path";
import { chromium } from "playwright-core";
import { root } from "./ready.mjs";

const KINDS = {
  none: ["#1f9a63", "All systems operational", "M9 17l5 5 9-11"], maintenance: ["#3c74d6", "Maintenance under way", "M9 13h14M9 19h9"],
  minor: ["#a87400", "Some systems are degraded", "M9 16h14"], major: ["#cf5a17", "Partial outage", "M16 8v10M16 23v.1"], critical: ["#cf2f2a", "Major outage", "M11 11l10 10M21 11l-10 10"],
};

const browser = await chromium.launch({ executablePath: process.argv[2] ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1200, height: 630 } });
for (const [kind, [color, words, mark]] of Object.entries(KINDS)) {
  await page.setContent(`<!doctype html><style>body{margin:0;height:630px;display:flex;flex-direction:column;justify-content:center;gap:56px;padding:0 110px;background:#f4f6f8;color:#151a21;font:700 78px/1.1 "DejaVu Sans",sans-serif;letter-spacing:-2px;box-sizing:border-box;border-bottom:26px solid ${color}}svg{width:170px}</style>
    <svg viewBox="0 0 32 32"><circle cx="16" cy="16" r="15" fill="${color}"/><path d="${mark}" fill="none" stroke="#fff" stroke-width="3.4" stroke-linecap="round" stroke-linejoin="round"/></svg><div>${words}</div>`);
  await page.screenshot({ path: path.join(root, "web", "page", `preview-${kind}.png`) });
}
await browser.close();
