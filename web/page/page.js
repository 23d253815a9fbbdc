// @ts-check
/**
 * What a status page does with scripts: times in the visitor's zone, what a bar means, and changes as they happen. The page is complete without it.
 * Changes: the page's event stream says that something changed; the page is fetched again and laid over what is there. Where no stream stays open, the page is asked from time to time.
 */
const { lang } = document.documentElement;
const { events, stale = "{age}" } = document.body.dataset;
/** How long after the last word from a region the page is asked anew, and from when on it warns, ms. */
const ASK_MS = 20_000;
const WARN_MS = 60_000;
/** Visitors of one page do not ask all at once when something changes, ms. */
const SPREAD_MS = 400;
/** Longer than a cache without purges keeps a page, ms. */
const CACHED_MS = 6_000;

let heardAt = Date.now();
/** @type {EventSource | undefined} */
let stream;

/** @type {Intl.DateTimeFormatOptions} */
const parts = { day: "numeric", month: "short", hour: "numeric", minute: "2-digit" };
const momentOfYear = new Intl.DateTimeFormat(lang, parts);
const moment = new Intl.DateTimeFormat(lang, { ...parts, year: "numeric" });
const dayName = new Intl.DateTimeFormat(lang, { dateStyle: "long", timeZone: "UTC" });

/** Makes a document from the server what the visitor sees: also one that is to be compared with what is there. @param {Document} page */
function prepare(page) {
  for (const time of page.querySelectorAll("time[data-local]")) {
    const at = new Date(time.getAttribute("datetime") ?? 0);
    time.textContent = (at.getFullYear() === new Date().getFullYear() ? momentOfYear : moment).format(at);
  }
  for (const zone of page.querySelectorAll("[data-zone]")) zone.textContent = zone.getAttribute("data-zone");
  showAge(page);
}

const agoOf = new Intl.RelativeTimeFormat(lang);

/** Fills in how long something is ago, as languages want it: a span of time by itself, or of the past. @param {string} text @param {number} ms */
function aged(text, ms) {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  /** @type {[number, "second" | "minute" | "hour"]} */
  const [value, unit] = seconds < 60 ? [seconds, "second"] : seconds < 7_200 ? [Math.floor(seconds / 60), "minute"] : [Math.floor(seconds / 3_600), "hour"];
  return text
    .replace("{age}", () => new Intl.NumberFormat(lang, { style: "unit", unit, unitDisplay: "long" }).format(value))
    .replace("{ago}", () => (unit === "hour" && value >= 48 ? agoOf.format(-Math.floor(value / 24), "day") : agoOf.format(-value, unit)));
}

/** @param {Document} page */
function showAge(page) {
  const age = Date.now() - heardAt;
  const checked = page.querySelector(".checked");
  // A copy that is cut off is as old as that, however often it is asked.
  const since = checked?.getAttribute("data-since") ?? null;
  const isOpen = stream?.readyState === 1 && age < WARN_MS && since === null;
  if (checked !== null) {
    const text = aged(checked.getAttribute("data-checked") ?? "", since === null ? age : Math.max(age, Date.now() - Date.parse(since)));
    if (checked.textContent !== text) checked.textContent = text;
    checked.removeAttribute("hidden");
    checked.setAttribute("class", isOpen ? "checked open" : "checked");
  }
  const place = page.getElementById("notice");
  let own = page.getElementById("stale");
  if (age < WARN_MS || place === null) own?.remove();
  else {
    if (own === null) {
      own = page.createElement("p");
      own.id = "stale";
      own.className = "notice";
      own.setAttribute("role", "status");
      place.append(own);
    }
    const text = aged(stale, age);
    if (own.textContent !== text) own.textContent = text;
  }
}

/** Lays one tree over another and keeps every node that may stay: the focus, what is unfolded, what a screen reader follows. @param {Node} old @param {Node} fresh */
function lay(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (!(old instanceof Element) || !(fresh instanceof Element)) {
    old.nodeValue = fresh.nodeValue;
    return;
  }
  const isDetails = old.nodeName === "DETAILS";
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !(isDetails && name === "open")) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value && !(isDetails && name === "open")) old.setAttribute(name, value);
  /** @type {Node | null} */
  let at = old.firstChild;
  for (const child of fresh.childNodes) {
    const id = child instanceof Element ? child.id : "";
    const same = id === "" ? undefined : [...old.children].find((one) => one.id === id);
    if (same !== undefined) {
      if (same === at) at = at.nextSibling;
      else old.insertBefore(same, at);
      lay(same, child);
    } else if (id === "" && at !== null && at.nodeName === child.nodeName && !(at instanceof Element && at.id !== "")) {
      const here = at;
      at = at.nextSibling;
      lay(here, child);
    } else old.insertBefore(document.importNode(child, true), at);
  }
  while (at !== null) {
    const next = at.nextSibling;
    at.parentNode?.removeChild(at);
    at = next;
  }
}

/** A cache on the way says how long it has had an answer, or (nginx, as deploy/nginx.conf has it) when a region gave it. In seconds. @param {Headers} headers */
function ageOf(headers) {
  const [age, now, then] = [Number(headers.get("age") ?? 0), Date.parse(headers.get("date") ?? ""), Date.parse(headers.get("origin-date") ?? "")];
  return Math.max(age || 0, (now - then) / 1_000 || 0);
}

let isAsking = false;
let isAskedAgain = false;

/** Seconds that a cache has had what was got. */
async function refresh() {
  if (isAsking) {
    isAskedAgain = true;
    return 0;
  }
  isAsking = true;
  let age = 0;
  try {
    const answer = await fetch(location.href, { cache: "no-cache", headers: { accept: "text/html" } });
    if (answer.ok || answer.status === 404) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      age = ageOf(answer.headers);
      heardAt = Date.now() - 1_000 * age;
      prepare(fresh);
      const [main, freshMain] = [document.querySelector("main"), fresh.querySelector("main")];
      if (main !== null && freshMain !== null) lay(main, freshMain);
      document.title = fresh.title;
      const [icon, freshIcon] = [document.getElementById("icon"), fresh.getElementById("icon")];
      if (icon !== null && freshIcon !== null) lay(icon, freshIcon);
    }
  } catch {
    // The age that is shown says it.
  } finally {
    isAsking = false;
    if (isAskedAgain) {
      isAskedAgain = false;
      void refresh();
    }
  }
  return age;
}

let isDue = false;
function changed(afterMs = Math.random() * SPREAD_MS) {
  if (isDue) return;
  isDue = true;
  setTimeout(async () => {
    isDue = false;
    // What a cache on the way gave may be from before the change.
    if ((await refresh()) > 0 && afterMs < CACHED_MS) changed(CACHED_MS);
  }, afterMs);
}

/** True from a stream's end until one opens again. */
let isLost = false;

/** @param {string} path */
function follow(path) {
  stream = new EventSource(path);
  stream.onopen = () => {
    isLost = false;
    changed();
  };
  for (const what of ["page", "component", "component_group", "incident", "incident_update", "maintenance", "maintenance_update"]) {
    for (const done of ["created", "updated", "deleted"]) stream.addEventListener(`${what}.${done}`, () => changed());
  }
  stream.addEventListener("reset", () => changed());
  stream.onerror = () => {
    // What is shown may come from a cache: how old it is, the next answer tells.
    if (!isLost) changed();
    isLost = true;
    // A stream that was refused is not tried again by the browser.
    if (stream?.readyState === 2) setTimeout(() => follow(path), ASK_MS);
  };
}

const tip = document.createElement("div");
tip.id = "tip";
tip.hidden = true;
tip.setAttribute("aria-hidden", "true");

/** @param {Event} event */
function showTip(event) {
  const bar = event.target;
  const bars = bar instanceof Element && bar.localName === "i" ? bar.closest(".bars") : null;
  if (bars === null || !(bar instanceof HTMLElement)) {
    tip.hidden = true;
    return;
  }
  const back = bars.children.length - 1 - [...bars.children].indexOf(bar);
  const day = new Date(Date.parse(`${bars.getAttribute("data-end")}T00:00:00Z`) - back * 86_400_000);
  const title = document.createElement("b");
  title.textContent = dayName.format(day);
  const legend = document.querySelector(`.legend .${bar.className}`)?.parentElement?.textContent ?? "";
  tip.replaceChildren(title, bar.dataset["t"] ?? legend);
  tip.hidden = false;
  const box = bar.getBoundingClientRect();
  const left = Math.min(Math.max(8, box.left + box.width / 2 - tip.offsetWidth / 2), document.documentElement.clientWidth - tip.offsetWidth - 8);
  tip.style.left = `${left + scrollX}px`;
  tip.style.top = `${box.top + scrollY - tip.offsetHeight - 8}px`;
}

document.body.append(tip);
document.addEventListener("pointerover", showTip);
document.addEventListener("pointerdown", showTip);
document.addEventListener("keydown", () => {
  tip.hidden = true;
});

prepare(document);
if (events !== undefined) {
  follow(events);
  setInterval(() => {
    showAge(document);
    if (!document.hidden && Date.now() - heardAt > ASK_MS) void refresh();
  }, 1_000);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) void refresh();
  });
}
