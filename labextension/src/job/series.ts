/**
 * Curves of what ranks reported: a bounded number of points, ready to be drawn (pure).
 */
import { TOTALS } from './words';

/** A report as the server tells it: number, generation, rank, time, step, metrics. */
export type Row = [
  number,
  number,
  number,
  number,
  number | null,
  Record<string, unknown>
];

/** By pod, the rows that are new; some may be told twice. */
export type Reports = [string, Row[]][];

/** A point: step (or epoch, or seconds), and value. */
export type Point = [number, number];

/** One metric's curves, by rank. */
export interface ICurves {
  readonly metric: string;
  readonly lines: { rank: number; points: Point[] }[];
}

export const MOST_RANKS = 8;
export const MOST_METRICS = 12;
/** Points kept of one curve; when there are more, every second one goes. */
export const MOST_POINTS = 400;

const LARGEST = 1e100;

/** What tells how far a rank is. */
const NO_CURVES = new Set([...TOTALS].flat());

/** Gathers reports. */
export class Series {
  /** Changes with each new report. */
  version = 0;

  /** Take in reports. A step told again has its newest value. */
  add(reports: Reports): void {
    for (const [, rows] of reports) {
      for (const [, , rank, time, step, metrics] of rows) {
        this._begun ??= time;
        if (rank < MOST_RANKS) {
          const seconds = Math.max(0, time - this._begun);
          this._note(rank, step ?? metrics['epoch'] ?? seconds, metrics);
        }
      }
    }
    this.version++;
  }

  /** What there is to draw: metrics with at least two points. */
  curves(): ICurves[] {
    return [...this._metrics]
      .map(([metric, ranks]) => ({
        metric,
        lines: [...ranks]
          .sort(([a], [b]) => a - b)
          .map(([rank, line]) => ({ rank, points: line.points() }))
      }))
      .filter(({ lines }) => lines.some(({ points }) => points.length > 1));
  }

  clear(): void {
    this._metrics.clear();
    this._begun = undefined;
    this.version++;
  }

  private _note(
    rank: number,
    at: unknown,
    metrics: Record<string, unknown>
  ): void {
    for (const [metric, value] of Object.entries(metrics)) {
      if (!isDrawable(value) || !isDrawable(at) || NO_CURVES.has(metric)) {
        continue;
      }
      let ranks = this._metrics.get(metric);
      if (!ranks) {
        if (this._metrics.size >= MOST_METRICS) {
          continue;
        }
        this._metrics.set(metric, (ranks = new Map()));
      }
      let line = ranks.get(rank);
      if (!line) {
        ranks.set(rank, (line = new Curve()));
      }
      line.add(at, value);
    }
  }

  private _metrics = new Map<string, Map<number, Curve>>();
  private _begun: number | undefined;
}

/** One curve, thinned as it grows; its newest point is always there. */
class Curve {
  add(at: number, value: number): void {
    if (this._newest !== null && this._newest[0] !== at) {
      this._keep(this._newest);
    }
    this._newest = [at, value];
    if (this._points.has(at)) {
      this._points.set(at, value);
    }
  }

  points(): Point[] {
    const all = new Map(this._points);
    if (this._newest) {
      all.set(...this._newest);
    }
    return [...all].sort(([a], [b]) => a - b);
  }

  private _keep([at, value]: Point): void {
    if (this._points.has(at) || this._seen++ % this._stride === 0) {
      this._points.set(at, value);
    }
    if (this._points.size > MOST_POINTS) {
      this._stride *= 2;
      const sorted = [...this._points].sort(([a], [b]) => a - b);
      this._points = new Map(sorted.filter((_, index) => index % 2 === 0));
    }
  }

  private _points = new Map<number, number>();
  private _newest: Point | null = null;
  private _seen = 0;
  private _stride = 1;
}

function isDrawable(value: unknown): value is number {
  return typeof value === 'number' && Math.abs(value) < LARGEST;
}
