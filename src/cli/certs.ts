/** `statusmesh certs`: an authority and one certificate for each replica of the region files. */
import path from "node:path";
import type { Command } from "commander";
import { makeCertificates } from "../io/certificates.js";
import { regionFiles, replicasOf } from "./region-files.js";
import { CommandFault, EXIT_CONFIG, say, table } from "./terminal.js";

export function certsCommand(program: Command): void {
  program
    .command("certs")
    .description("Makes a cluster authority and one certificate for each replica of the region files, for mutual TLS.")
    .requiredOption("--out <folder>", "where to write them; an authority that is there is used again")
    .option("--regions <folder>", "folder with the region files", "regions")
    .option("--json", "print JSON")
    .action(async ({ out, regions, json }: { out: string; regions: string; json?: true }) => {
      const replicas = replicasOf(regionFiles(path.resolve(regions)));
      if (replicas.length === 0) throw new CommandFault([`The region files in ${regions} name no replica.`], EXIT_CONFIG);
      const files = await makeCertificates(path.resolve(out), replicas);
      if (json) say(JSON.stringify({ certificates: files }));
      else say(table(["replica", "certificate", "key", ""], files.map((made) => [made.replica, made.cert, made.key, made.created ? "new" : "kept"])));
    });
}
