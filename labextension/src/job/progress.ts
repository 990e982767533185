/**
 * How far a job is and how long it will take: from reports, progress bars and epochs.
 *
 * The same rules as `jupyter_kube/train/progress.py`, which the panel goes by.
 */
import type { JobDetail, Rank } from '../tokens';
import type { ILine } from './lines';
import { TOTALS, uncoded } from './words';

/** How Keras and others begin an epoch. */
const EPOCH = /^\s*Epoch:? \[?(\d{1,9}) ?(?:\/|of) ?(\d{1,9})\b/i;
const PERCENT = /\b(\d{1,3})(?:\.\d+)? ?%/;
const OF = /\b(\d{1,9}) ?\/ ?(\d{1,9})\b/;
/** Seconds of progress before an end is foretold. */
const SOONEST = 1;

/** Notes how far a job is, as time goes by. */
export class Progress {
  /** How much is done, from 0 to 1; null if nobody tells. The slowest rank that tells counts. */
  get share(): number | null {
    return this._share;
  }

  /** Seconds that the rest will take at the pace so far; null if that is not known yet. */
  get left(): number | null {
    return this._left;
  }

  /** Note which epochs ranks begin. */
  hear(lines: readonly ILine[]): void {
    for (const { rank, text } of lines) {
      const found = text.includes('poch') && EPOCH.exec(uncoded(text));
      if (found) {
        this._epochs.set(rank, [Number(found[1]), Number(found[2])]);
      }
    }
  }

  /** Note how far the ranks are; `now` in seconds since 1970. */
  see(job: JobDetail, now: number): void {
    const told = job.ranks
      .map(rank => this._done(rank))
      .filter((done): done is number => done !== null);
    const before = this._share;
    this._share = told.length ? Math.min(...told) : null;
    if (this._share === null || job.phase !== 'running') {
      this._since = this._left = null;
    } else if (!this._since || this._share < (before ?? 0)) {
      this._since = [now, this._share]; // after a new start the pace is another one
      this._left = null;
    } else if (this._share !== before) {
      const [begun, first] = this._since;
      const [passed, done] = [now - begun, this._share - first];
      if (passed >= SOONEST && done > 0) {
        this._left = ((1 - this._share) * passed) / done;
      }
    }
  }

  private _done(rank: Rank): number | null {
    if (rank.state.phase === 'succeeded') {
      return this._share === null ? null : 1;
    }
    const bar = byBar(uncoded(rank.progress ?? ''));
    const reported = byReport(rank.metrics ?? {});
    const epoch = this._epochs.get(rank.rank);
    return (
      reported ?? (epoch ? part(epoch[0] - 1 + (bar ?? 0), epoch[1]) : bar)
    );
  }

  private readonly _epochs = new Map<number, [number, number]>();
  private _share: number | null = null;
  private _left: number | null = null;
  private _since: [number, number] | null = null;
}

function byReport(metrics: Record<string, unknown>): number | null {
  for (const [step, steps] of TOTALS) {
    const [done, total] = [metrics[step], metrics[steps]];
    if (typeof done === 'number' && typeof total === 'number') {
      return part(done, total);
    }
  }
  return null;
}

function byBar(bar: string): number | null {
  const percent = PERCENT.exec(bar);
  if (percent) {
    return part(Number(percent[1]), 100);
  }
  const found = OF.exec(bar);
  return found && part(Number(found[1]), Number(found[2]));
}

/** Divide, if that makes sense: reports hold what users wrote. */
function part(done: number, total: number): number | null {
  return total > 0 && total < Infinity && done >= 0 && done < Infinity
    ? Math.min(done / total, 1)
    : null;
}
