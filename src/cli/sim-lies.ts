/**
 * Runs the planted bugs of `sim/lies.ts`: each in a copy of the compiled source, in child processes, until a checker finds it.
 *
 * A seed that fails without the bug says nothing about the bug: every seed that fails is run on the source as it is, once for all bugs.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Edit, Lie } from "../sim/lies.js";
import { planOf, type Emphasis } from "../sim/seed-plan.js";
import { runPool } from "./sim-pool.js";
import { CommandFault } from "./terminal.js";

export interface LieResult {
  readonly lie: Lie;
  /** How many seeds it takes, counted from the first; undefined if that many did not find it. */
  readonly seeds: number | undefined;
  /** Who found it, and what it said. */
  readonly checker: string;
  readonly happened: string;
}

export interface LiesOptions {
  readonly root: string;
  readonly processes: number;
  readonly first: number;
  each(result: LieResult): void;
  /** Called now and then while seeds are run. */
  progress(lie: Lie, seeds: number): void;
}

/** What a seed that failed said. */
interface Finding {
  readonly seed: number;
  readonly checker: string;
  readonly happened: string;
}

/** One seed takes a second or two. A program that does not end hangs, and a replica would, too. */
const SEED_MS_MAX = 120_000;

export async function runLies(lies: readonly Lie[], options: LiesOptions): Promise<readonly LieResult[]> {
  const truth = new Program("the source as it is", options.root);
  /** Seed and emphasis → whether it fails without any bug. */
  const failsAnyway = new Map<string, boolean>();
  const results: LieResult[] = [];
  try {
    for (const lie of lies) {
      const program = new Program(`the planted bug ${lie.name}`, options.root, { edits: lie.edits, of: truth });
      try {
        const result = await runLie(lie, program, truth, failsAnyway, options);
        results.push(result);
        options.each(result);
      } finally {
        program.remove();
      }
    }
  } finally {
    truth.remove();
  }
  return results;
}

async function runLie(lie: Lie, program: Program, truth: Program, failsAnyway: Map<string, boolean>, options: LiesOptions): Promise<LieResult> {
  let over = 0;
  for (let begun = 0; begun < lie.seedsMax; ) {
    const findings: Finding[] = [];
    begun += await program.run({
      processes: options.processes, first: options.first + begun, seeds: lie.seedsMax - begun, skips: (seed) => lie.needs?.(planOf(seed)) === false,
      emphasis: lie.emphasis, over: () => options.progress(lie, ++over), found: (finding) => findings.push(finding),
    });
    // Several seeds are under way at a time: the first that fails counts, whichever was over first.
    for (const finding of findings.sort((a, b) => a.seed - b.seed)) {
      const { seed, checker, happened } = finding;
      const run = `${seed} ${lie.emphasis ?? ""}`;
      if (!failsAnyway.has(run)) failsAnyway.set(run, await truth.fails(seed, lie.emphasis));
      if (failsAnyway.get(run) === false) return { lie, seeds: seed - options.first + 1, checker, happened };
    }
  }
  return { lie, seeds: undefined, checker: "", happened: "" };
}

interface Batch {
  readonly processes: number;
  readonly first: number;
  readonly seeds: number;
  readonly emphasis: Emphasis | undefined;
  skips(seed: number): boolean;
  over(): void;
  found(finding: Finding): void;
}

/** The source, compiled as it is, or with edits: then only the files that they change are compiled, and put into a copy of the rest. */
class Program {
  private readonly folder = mkdtempSync(path.join(tmpdir(), "statusmesh-lie-"));

  constructor(private readonly name: string, private readonly root: string, edited?: { readonly edits: readonly Edit[]; readonly of: Program }) {
    try {
      for (const file of ["package.json", "tsconfig.json"]) cpSync(path.join(root, file), path.join(this.folder, file));
      symlinkSync(path.join(root, "node_modules"), path.join(this.folder, "node_modules"));
      if (edited === undefined) {
        cpSync(path.join(root, "src"), path.join(this.folder, "src"), { recursive: true });
        this.compile("tsconfig.json");
      } else {
        cpSync(path.join(edited.of.folder, "dist"), path.join(this.folder, "dist"), { recursive: true });
        this.compileAlone(this.edit(edited.edits));
      }
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  /** Writes the files that edits change, and returns their names. */
  private edit(edits: readonly Edit[]): string[] {
    const texts = new Map<string, string>();
    for (const { file, find, replace } of edits) {
      const text = texts.get(file) ?? readFileSync(path.join(this.root, "src", file), "utf8");
      const times = text.split(find).length - 1;
      if (times !== 1) throw new CommandFault([`${this.name} looks for a piece of ${file} that is there ${times} times, not once: the source has changed, and sim/lies.ts must follow.`]);
      texts.set(file, text.replace(find, () => replace));
    }
    for (const [file, text] of texts) {
      const target = path.join(this.folder, "src", file);
      mkdirSync(path.dirname(target), { recursive: true });
      writeFileSync(target, text);
    }
    return [...texts.keys()];
  }

  /** Each file is compiled by itself, without what it imports. */
  private compileAlone(files: readonly string[]): void {
    const config = { extends: "./tsconfig.json", compilerOptions: { noResolve: true, types: [] }, include: [], files: files.map((file) => path.join("src", file)) };
    writeFileSync(path.join(this.folder, "tsconfig.edited.json"), JSON.stringify(config));
    this.compile("tsconfig.edited.json");
  }

  private compile(config: string): void {
    const { folder, root } = this;
    const compiler = path.join(root, "node_modules", "typescript", "lib", "tsc.js");
    const compiled = spawnSync(process.execPath, [compiler, "-p", path.join(folder, config), "--outDir", path.join(folder, "dist"), "--noCheck"], { encoding: "utf8", env: { ...process.env, NODE_OPTIONS: "" } });
    if (compiled.status !== 0) throw new CommandFault([`${this.name} does not compile: ${compiled.stdout}${compiled.stderr}`]);
  }

  /** Runs seeds until one fails; resolves to how many were begun. */
  run({ processes, first, seeds, emphasis, skips, over, found }: Batch): Promise<number> {
    return runPool({
      worker: path.join(this.folder, "dist", "cli", "sim-worker.js"), processes, first, seeds, emphasis, skips, seedMsMax: SEED_MS_MAX,
      each: ({ seed, failures: [failure] }) => {
        over();
        if (failure !== undefined) found({ seed, checker: failure.checker, happened: failure.happened });
        return failure === undefined;
      },
      defect: (seed, why) => {
        over();
        found({ seed, checker: "the program ends", happened: why });
      },
    });
  }

  async fails(seed: number, emphasis: Emphasis | undefined): Promise<boolean> {
    let fails = false;
    await this.run({ processes: 1, first: seed, seeds: 1, emphasis, skips: () => false, over: () => {}, found: () => { fails = true; } });
    return fails;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
