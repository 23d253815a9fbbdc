/** Starts the bare Fastify server in a process of its own. */
import { writeFileSync } from "node:fs";
import path from "node:path";
import { Child, TemporaryFolder } from "./children.js";

export class BareFastify {
  private constructor(private readonly folder: TemporaryFolder, private readonly child: Child, readonly base: string) {}

  /** `bytes`: what `GET /bytes` sends, JSON. */
  static async start(bytes: string): Promise<BareFastify> {
    const folder = new TemporaryFolder();
    const file = path.join(folder.path, "bytes.json");
    writeFileSync(file, bytes);
    const child = Child.program("bare-fastify-worker.ts", [file]);
    const { base } = await child.message<{ base: string }>();
    return new BareFastify(folder, child, base);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.child.stop();
    this.folder[Symbol.dispose]();
  }
}
