/** The body of an answer while it is made: whoever comes later gets what was before, and all get the same bytes. */
import { constants, createBrotliCompress, createGzip } from "node:zlib";

export interface BodyReader {
  /** The next bytes, in order. */
  bytes(bytes: Buffer): void;
  /** After the last bytes; with an error where there will never be more, though there should be. */
  ended(error?: unknown): void;
}

export type Coding = "identity" | "gzip" | "br";

export const GZIP_LEVEL = 6;
export const BROTLI_QUALITY = 5;

export class GrowingBody {
  private readonly pieces: Buffer[] = [];
  private readonly readers = new Set<BodyReader>();
  private outcome: { readonly error: unknown } | undefined;

  /** True once no more bytes come. */
  get isOver(): boolean {
    return this.outcome !== undefined;
  }

  push(bytes: Buffer): void {
    if (bytes.length === 0 || this.isOver) return;
    this.pieces.push(bytes);
    for (const reader of this.readers) reader.bytes(bytes);
  }

  end(error?: unknown): void {
    if (this.isOver) return;
    this.outcome = { error };
    for (const reader of this.readers) reader.ended(error);
    this.readers.clear();
  }

  /** Tells a reader all that was, at once, and all that comes. Gives what ends that. */
  follow(reader: BodyReader): () => void {
    for (const bytes of this.pieces) reader.bytes(bytes);
    if (this.outcome !== undefined) reader.ended(this.outcome.error);
    else this.readers.add(reader);
    return () => void this.readers.delete(reader);
  }

  /** All of it, once it is over. */
  async whole(): Promise<Buffer> {
    await new Promise<void>((resolve, reject) => {
      this.follow({ bytes: () => undefined, ended: (error) => (error === undefined ? resolve() : reject(error)) });
    });
    return Buffer.concat(this.pieces);
  }
}

/** The same in a coding. What was pushed into the one can be decoded from the other before more is pushed. */
export function codedBody(body: GrowingBody, coding: Exclude<Coding, "identity">): GrowingBody {
  const coded = new GrowingBody();
  const coder = coding === "gzip" ? createGzip({ level: GZIP_LEVEL }) : createBrotliCompress({ params: { [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY } });
  coder.on("data", (bytes: Buffer) => coded.push(bytes));
  coder.on("end", () => coded.end());
  coder.on("error", (error) => coded.end(error));
  body.follow({
    bytes: (bytes) => {
      coder.write(bytes);
      coder.flush();
    },
    ended: (error) => {
      if (error === undefined) return void coder.end();
      coder.destroy();
      coded.end(error);
    },
  });
  return coded;
}
