/** @jsxRuntime automatic @jsxImportSource preact */
/** What a browser sees where there is no page, incident or maintenance of that address. */
import { htmlDocument } from "./html-document.js";
import type { Language } from "./language.js";
import type { AssetPaths } from "./view-context.js";

function NotFoundView({ language, assets, home }: { language: Language; assets: AssetPaths; home: string | null }) {
  const { texts } = language;
  return (
    <html lang={language.code} dir={language.direction}>
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>{texts.notFoundTitle}</title>
        <meta name="color-scheme" content="light dark" />
        <meta name="robots" content="noindex" />
        <link rel="stylesheet" href={assets.style} />
        <link rel="icon" href={assets.icon("none")} />
      </head>
      <body>
        <main class="wrap lost">
          <p class="code" aria-hidden="true">404</p>
          <h1>{texts.notFoundTitle}</h1>
          <p>{texts.notFoundText}</p>
          {home !== null && <p><a class="button" href={home}>{texts.backToPage}</a></p>}
        </main>
      </body>
    </html>
  );
}

/** The page as a text. `home`: where its link leads; null: nowhere. */
export function notFoundDocument(language: Language, assets: AssetPaths, home: string | null): string {
  return htmlDocument(<NotFoundView language={language} assets={assets} home={home} />);
}
