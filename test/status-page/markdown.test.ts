import t from "tap";
import { htmlOfMarkdown, plainOfMarkdown } from "../../src/features/status-page/markdown.js";

t.test("Markdown of an update is shown as such", async (t) => {
  t.equal(htmlOfMarkdown("The **database** is `slow`, see https://example.com/a"), '<p>The <strong>database</strong> is <code>slow</code>, see <a href="https://example.com/a" rel="nofollow noopener noreferrer ugc">https://example.com/a</a></p>');
  t.match(htmlOfMarkdown("# Title\n\n- one\n- two"), /^<p>Title<\/p>\s*<ul>\s*<li>one<\/li>/, "headings do not disturb the outline of the page");
  t.match(htmlOfMarkdown("| a | b |\n|---|---|\n| 1 | ~~2~~ |"), /<table>.*<s>2<\/s>/s);
});

const ATTACKS = [
  "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>", "[a](javascript:alert(1))", "[a](JaVaScRiPt:alert(1))", "[a](\u0001javascript:alert(1))",
  "[a](java\nscript:alert(1))", "[a](&#106;avascript:alert(1))", "[a](vbscript:x)", "[a](data:text/html;base64,PHNjcmlwdD4=)", "![a](https://example.com/x.png)", "![a](javascript:alert(1))",
  "<javascript:alert(1)>", "[a](//example.com)", "[a]: javascript:alert(1)\n\n[a]", "`</code><script>alert(1)</script>`", "[a](https://example.com/\"onmouseover=alert(1)//)", "<style>*{display:none}</style>",
  "<iframe src=https://example.com></iframe>", "```\"><script>alert(1)</script>\nx\n```", "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>", "[a](file:///etc/passwd)",
];

t.test("what attacks in Markdown is text, not markup", async (t) => {
  for (const attack of ATTACKS) {
    const html = htmlOfMarkdown(attack);
    const tags = [...html.matchAll(/<\/?([a-z0-9]+)((?:[^<>"]|"[^"]*")*)>/gi)];
    t.equal(html.replace(/<\/?[a-z0-9]+(?:[^<>"]|"[^"]*")*>/gi, "").includes("<"), false, `nothing but whole tags in ${html}`);
    for (const [, tag = "", attributes = ""] of tags) {
      t.match(tag, /^(?:p|br|strong|em|s|code|pre|blockquote|ul|ol|li|a|hr)$/, attack);
      t.match(attributes, tag === "a" ? /^(?: href="(?:https?:|mailto:|[/#?])[^"]*")?(?: rel="[a-z ]+")?$/ : /^(?: \/)?$/, attack);
    }
  }
});

t.test("a text that nests a thousand deep, or is of the longest size, takes no time to speak of", async (t) => {
  const from = process.cpuUsage().user;
  htmlOfMarkdown(`${"> ".repeat(5_000)}x`);
  htmlOfMarkdown("[".repeat(30_000));
  htmlOfMarkdown("*a ".repeat(20_000));
  const spentMs = (process.cpuUsage().user - from) / 1_000;
  t.ok(spentMs < 5_000, `${spentMs} ms`);
});

t.test("the plain words of a text stand on one line", async (t) => {
  t.equal(plainOfMarkdown("# A & b\n\n- <c>\n- **d**", 100), "A & b <c> d");
  t.equal(plainOfMarkdown("word ".repeat(100), 20), "word word word word…");
  t.equal(plainOfMarkdown("🔥".repeat(100), 20), `${"🔥".repeat(9)}…`, "no character is cut in two");
});
