// @ts-check
/**
 * The state of a status page in one line, for other sites: <script async src="https://…/embed.js"></script>. It stands where the script does, or in the element
 * that `data-target` selects, in a shadow root of its own; `data-scheme` (light or dark) overrules the visitor's. It asks once a minute.
 */
(() => {
  const script = document.currentScript;
  if (!(script instanceof HTMLScriptElement)) return;
  const base = script.src.replace(/\/embed\.js(?:\?.*)?$/, "");
  const { target, scheme } = script.dataset;
  /** @type {Record<string, string>} */
  const colors = { none: "#1f9a63", maintenance: "#3c74d6", minor: "#b98000", major: "#d9611c", critical: "#cf2f2a" };
  const host = document.createElement("span");
  const root = host.attachShadow({ mode: "closed" });
  const sheet = new CSSStyleSheet();
  const dark = "--ground:#151a21;--ink:#e7ebf0;--line:#39424d";
  sheet.replaceSync(`
    :host { --ground:#fff; --ink:#151a21; --line:#d4d9e0; ${scheme === "dark" ? dark : ""} }
    ${scheme === undefined ? `@media (prefers-color-scheme: dark) { :host { ${dark} } }` : ""}
    a { display: inline-flex; align-items: center; gap: .55em; padding: .4em .85em; border: 1px solid var(--line); border-radius: 99px; background: var(--ground);
      color: var(--ink); font: 500 14px/1.4 system-ui, sans-serif; text-decoration: none; }
    a:hover span { text-decoration: underline; }
    a:focus-visible { outline: 2px solid currentcolor; outline-offset: 2px; }
    svg { width: .7em; height: .7em; flex: none; }
  `);
  root.adoptedStyleSheets = [sheet];
  const link = document.createElement("a");
  const dot = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const circle = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  const text = document.createElement("span");
  dot.setAttribute("viewBox", "0 0 10 10");
  dot.setAttribute("aria-hidden", "true");
  for (const name of ["cx", "cy", "r"]) circle.setAttribute(name, "5");
  dot.append(circle);
  link.target = "_blank";
  link.rel = "noopener";
  link.append(dot, text);

  const ask = async () => {
    try {
      const answer = await fetch(`${base}/api/v2/status.json`);
      if (!answer.ok) return;
      const { page, status } = await answer.json();
      const url = new URL(page.url || base, script.src);
      link.href = /^https?:$/.test(url.protocol) ? url.href : base;
      text.textContent = String(status.description);
      circle.setAttribute("fill", colors[status.indicator] ?? "#8a94a1");
      if (!root.contains(link)) root.append(link);
    } catch {
      // The site that embeds this does not care; the last word stands.
    }
  };

  const place = target === undefined ? null : document.querySelector(target);
  if (place === null) script.after(host);
  else place.append(host);
  void ask();
  setInterval(() => {
    if (!document.hidden) void ask();
  }, 60_000);
})();
