/**
 * What session tokens stand for, resource by resource.
 *
 * A token stands for all that any answer showed that carried it, and for what the token of the request stood for. Sessions hand the
 * token of one answer to the next request, so what one token stands for is mostly handed on as it is, and copied only where two
 * requests use one token, or two answers give one: the cost stays near that of the number of operations.
 */
import type { Operation, Token } from "../history.js";
import type { PlaceSet } from "../place-set.js";

/** Resource → places of the writes that are known. */
type Knowledge = Map<string, PlaceSet>;

export class TokenKnowledge {
  private readonly byToken = new Map<string, Knowledge>();
  /** How many requests are still to come that use a token. */
  private readonly uses = new Map<string, number>();

  /** `operations`: in the order in which they will be asked about. */
  constructor(operations: readonly Operation[]) {
    for (const { tokenIn } of operations) if (tokenIn !== undefined) this.uses.set(tokenIn.text, (this.uses.get(tokenIn.text) ?? 0) + 1);
  }

  /** What a request knows of a resource by its token. */
  of({ tokenIn }: Operation, resource: string): PlaceSet | undefined {
    return tokenIn === undefined ? undefined : this.byToken.get(tokenIn.text)?.get(resource);
  }

  /** Called once for each operation: `tokenOut`, if any, stands for what the request's token did, and for `learned`. */
  pass({ tokenIn }: Operation, tokenOut: Token | undefined, learned: ReadonlyMap<string, PlaceSet>): void {
    const before = tokenIn === undefined ? undefined : this.use(tokenIn.text);
    if (tokenOut === undefined) return;
    let after = this.byToken.get(tokenOut.text);
    if (after === undefined) {
      after = before === undefined ? new Map<string, PlaceSet>() : before.isLast ? before.knowledge : new Map(before.knowledge);
      this.byToken.set(tokenOut.text, after);
    } else if (before !== undefined && before.knowledge !== after) for (const [resource, known] of before.knowledge) join(after, resource, known);
    for (const [resource, known] of learned) join(after, resource, known);
  }

  private use(token: string): { readonly knowledge: Knowledge; readonly isLast: boolean } | undefined {
    const left = (this.uses.get(token) ?? 1) - 1;
    this.uses.set(token, left);
    const knowledge = this.byToken.get(token);
    if (left === 0) this.byToken.delete(token);
    return knowledge === undefined ? undefined : { knowledge, isLast: left === 0 };
  }
}

function join(knowledge: Knowledge, resource: string, known: PlaceSet): void {
  const before = knowledge.get(resource);
  knowledge.set(resource, before === undefined ? known : before.union(known));
}
