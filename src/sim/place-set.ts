/** Immutable sets of small whole numbers, as bits: what the checkers keep of who knew which writes. */

const BITS = 32;

export class PlaceSet {
  static readonly NONE = new PlaceSet(new Uint32Array(0));

  private constructor(private readonly words: Uint32Array) {}

  static of(places: Iterable<number>): PlaceSet {
    const list = [...places];
    if (list.length === 0) return PlaceSet.NONE;
    const words = new Uint32Array(Math.floor(list.reduce((most, place) => Math.max(most, place), 0) / BITS) + 1);
    for (const place of list) words[Math.floor(place / BITS)] = (words[Math.floor(place / BITS)] ?? 0) | (1 << place % BITS);
    return new PlaceSet(words);
  }

  get isEmpty(): boolean {
    return this.words.every((word) => word === 0);
  }

  has(place: number): boolean {
    return ((this.words[Math.floor(place / BITS)] ?? 0) & (1 << place % BITS)) !== 0;
  }

  with(place: number): PlaceSet {
    return this.has(place) ? this : this.union(PlaceSet.of([place]));
  }

  /** One of the two itself where it holds the other. */
  union(other: PlaceSet): PlaceSet {
    if (other.isWithin(this)) return this;
    if (this.isWithin(other)) return other;
    const [long, short] = this.words.length >= other.words.length ? [this.words, other.words] : [other.words, this.words];
    const words = long.slice();
    for (let i = 0; i < short.length; i++) words[i] = (words[i] ?? 0) | (short[i] ?? 0);
    return new PlaceSet(words);
  }

  intersection(other: PlaceSet): PlaceSet {
    if (this.isWithin(other)) return this;
    if (other.isWithin(this)) return other;
    return new PlaceSet(this.words.slice(0, other.words.length).map((word, i) => word & (other.words[i] ?? 0)));
  }

  private isWithin(other: PlaceSet): boolean {
    for (let i = 0; i < this.words.length; i++) if (((this.words[i] ?? 0) & ~(other.words[i] ?? 0)) !== 0) return false;
    return true;
  }

  /** The least place that is in both. */
  firstIn(other: PlaceSet): number | undefined {
    for (let i = 0; i < Math.min(this.words.length, other.words.length); i++) {
      const word = (this.words[i] ?? 0) & (other.words[i] ?? 0);
      if (word !== 0) return i * BITS + BITS - 1 - Math.clz32(word & -word);
    }
    return undefined;
  }

  /** The places in ascending order. */
  *[Symbol.iterator](): Generator<number> {
    for (const [i, whole] of this.words.entries()) {
      for (let word = whole; word !== 0; word &= word - 1) yield i * BITS + BITS - 1 - Math.clz32(word & -word);
    }
  }
}
