/** The folder of this checkout: of its sources, also where what runs was compiled into another folder, which links to them. */
import { realpathSync } from "node:fs";
import path from "node:path";

export const checkout = path.dirname(realpathSync(path.resolve(import.meta.dirname, "..", "package.json")));
