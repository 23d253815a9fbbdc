/** `statusmesh verify`: whether a proof of the sealed history holds. Reads the file and nothing else. */
import { readFile, stat } from "node:fs/promises";
import type { Command } from "commander";
import { checkProof, type Proof } from "../features/monitors/proof.js";
import type { SealedRecord } from "../features/monitors/seal.js";
import { asFault, CommandFault, say } from "./terminal.js";

const PROOF_BYTES_MAX = 64 * 1024 * 1024;

export function verifyCommand(program: Command): void {
  program
    .command("verify")
    .description("Checks a proof from …/monitors/{id}/proof offline. Exit code 0 if it holds, 1 if not, saying which step failed.")
    .argument("<file>", "the proof, byte for byte as it was answered")
    .option("--head <hash>", "hash of a seal that you trust (from another region, or kept from before): the chain must hold it")
    .option("--json", "print JSON")
    .action(async (file: string, { head, json }: { head?: string; json?: true }) => {
      if (head !== undefined && !/^[0-9a-f]{64}$/.test(head)) throw new CommandFault(["--head must be 64 lower-case hex digits."]);
      const check = checkProof(await bytesOf(file), head);
      if (json) say(JSON.stringify(check.holds ? { holds: true, record: check.record, seal: check.proof.seals[0], head: check.proof.head } : check));
      if (!check.holds) throw new CommandFault(json ? [] : [`the proof does not hold (${check.step}): ${check.reason}.`]);
      if (!json) say(sentence(check.record, check.proof, head));
    });
}

async function bytesOf(file: string): Promise<Uint8Array> {
  const { size } = await stat(file).catch(asFault);
  if (size > PROOF_BYTES_MAX) throw new CommandFault([`${file} is larger than any proof (${size} bytes).`]);
  return readFile(file).catch(asFault);
}

function sentence({ at, id, kind, monitor, page, region }: SealedRecord, { head, index, seals }: Proof, known: string | undefined): string {
  const [first] = seals;
  const what = kind === "day" ? `day ${id}` : `${kind} of ${at}`;
  const follow = seals.length === 1 ? "the latest" : `followed by ${seals.length - 1} more`;
  const trust = known === undefined ? `compare the head ${head} with that of another region` : "the chain holds the head that you trust";
  return `The ${what} of monitor ${monitor} (page ${page}) as ${region} wrote it is record ${index + 1} of ${first?.records ?? 0} in seal ${first?.number ?? 0} of ${first?.origin ?? ""}, ${follow}; ${trust}.`;
}
