/**
 * A job's newest lines, a bounded number of them, and the ones of these that are looked for.
 *
 * Lines are numbered from 0 as they come; a number stays a line's own for as long as it is kept.
 */
import { uncoded } from './words';

/** One line of one rank. */
export interface ILine {
  readonly rank: number;
  readonly text: string;
}

/** Which lines are looked for. */
export interface IFilter {
  /** The rank, or null for all. */
  readonly rank: number | null;
  /** A text that lines contain, in whatever case; empty for all. */
  readonly text: string;
}

export const EVERYTHING: IFilter = { rank: null, text: '' };

/** Lines kept. */
export const MOST_LINES = 50_000;
/** Characters kept of all lines, and of one. */
export const MOST_CHARACTERS = 20_000_000;
export const LONGEST_LINE = 2_000;

/** A ring of lines. */
export class Lines {
  constructor(
    readonly capacity: number = MOST_LINES,
    readonly room: number = MOST_CHARACTERS
  ) {}

  /** How many lines were passed over: by the server, or to make room here. */
  get missing(): number {
    return this._dropped + this._first;
  }

  /** How many lines match the filter. */
  get length(): number {
    return this._everything
      ? this._next - this._first
      : this._matches.length - this._gone;
  }

  get filter(): IFilter {
    return this._filter;
  }

  set filter(filter: IFilter) {
    this._filter = { ...filter, text: filter.text.toLowerCase() };
    this._matches = [];
    this._gone = 0;
    if (!this._everything) {
      for (let number = this._first; number < this._next; number++) {
        this._match(number);
      }
    }
  }

  /**
   * Take in new lines.
   *
   * @param dropped - How many were left out before them.
   * @returns How many matching lines had to go from the beginning.
   */
  push(lines: readonly ILine[], dropped = 0): number {
    const before = this._everything ? this._first : this._gone;
    this._dropped += dropped;
    for (const line of lines) {
      const kept = tidied(line);
      this._makeRoom(kept.text.length);
      this._ring[this._next % this.capacity] = kept;
      this._next++;
      if (!this._everything) {
        this._match(this._next - 1);
      }
    }
    if (this._everything) {
      return this._first - before;
    }
    while (this._matches[this._gone] < this._first) {
      this._gone++;
    }
    const left = this._gone - before;
    if (this._gone > this.capacity) {
      this._matches = this._matches.slice(this._gone);
      this._gone = 0;
    }
    return left;
  }

  /** Return the matching lines from one index to before another. */
  slice(from: number, to: number): ILine[] {
    const found: ILine[] = [];
    for (let at = Math.max(0, from); at < Math.min(to, this.length); at++) {
      const number = this._everything
        ? this._first + at
        : this._matches[this._gone + at];
      found.push(this._ring[number % this.capacity]);
    }
    return found;
  }

  /** Forget all lines, but not what is looked for. */
  clear(): void {
    this._ring = [];
    this._first = this._next = this._dropped = this._gone = 0;
    this._characters = 0;
    this._matches = [];
  }

  private get _everything(): boolean {
    return this._filter.rank === null && !this._filter.text;
  }

  private _makeRoom(length: number): void {
    this._characters += length;
    while (
      this._next - this._first >= this.capacity ||
      (this._characters > this.room && this._first < this._next)
    ) {
      const place = this._first++ % this.capacity;
      this._characters -= this._ring[place].text.length;
      delete this._ring[place]; // it may be long until another line takes it
    }
  }

  private _match(number: number): void {
    const { rank, text } = this._filter;
    const line = this._ring[number % this.capacity];
    if (
      (rank === null || line.rank === rank) &&
      line.text.toLowerCase().includes(text)
    ) {
      this._matches.push(number);
    }
  }

  private _ring: ILine[] = [];
  private _first = 0;
  private _next = 0;
  private _dropped = 0;
  private _characters = 0;
  private _filter = EVERYTHING;
  private _matches: number[] = [];
  /** How many of the matches, from the beginning, are kept no more. */
  private _gone = 0;
}

function tidied(line: ILine): ILine {
  const plain = uncoded(line.text);
  return {
    rank: line.rank,
    text: plain.length > LONGEST_LINE ? `${beginning(plain)}…` : plain
  };
}

/** A copy: a slice would keep the whole text in memory. */
function beginning(text: string): string {
  return text.slice(0, LONGEST_LINE).split('').join('');
}
