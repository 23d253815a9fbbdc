/** The final observations of a history, by resource. */
import type { FinalDocument, FinalObservation, History, RecordedEntry } from "../history.js";

export interface ObservedDocument extends FinalDocument {
  readonly replica: string;
}

export class FinalDocuments {
  private readonly byResource = new Map<string, ObservedDocument[]>();

  constructor(readonly history: History) {
    for (const { replica, documents } of history.final) {
      for (const document of documents) {
        const { page, type, id } = document.resource;
        const name = `${page}/${type}/${id}`;
        this.byResource.set(name, [...(this.byResource.get(name) ?? []), { ...document, replica }]);
      }
    }
  }

  get observations(): readonly FinalObservation[] {
    return this.history.final;
  }

  /** What each replica that looked shows of a resource. */
  of(resource: string): readonly ObservedDocument[] {
    return this.byResource.get(resource) ?? [];
  }

  names(): Iterable<string> {
    return this.byResource.keys();
  }

  /** The longest history that a replica tells of a resource, newest first. */
  entriesOf(resource: string): readonly RecordedEntry[] {
    return this.of(resource).reduce<readonly RecordedEntry[]>((longest, { history = [] }) => (history.length > longest.length ? history : longest), []);
  }
}
