/**
 * Why a job waits or failed, each reason once (pure).
 */
import { TranslationBundle } from '@jupyterlab/translation';
import { JobDetail, Rank } from '../tokens';

/** Write ranks as people do: 0–3, 7. */
export function ranges(ranks: readonly number[]): string {
  const found: [number, number][] = [];
  for (const rank of [...ranks].sort((a, b) => a - b)) {
    const last = found[found.length - 1];
    if (last && last[1] === rank - 1) {
      last[1] = rank;
    } else {
      found.push([rank, rank]);
    }
  }
  return found
    .map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`))
    .join(', ');
}

/** Say why, in sentences; empty if all is well. */
export function why(job: JobDetail, trans: TranslationBundle): string[] {
  const reasons = new Map<string, number[]>();
  for (const rank of job.ranks) {
    const reason = reasonOf(rank);
    if (reason) {
      reasons.set(reason, [...(reasons.get(reason) ?? []), rank.rank]);
    }
  }
  const ranks = [...reasons].map(([reason, found]) =>
    found.length === 1
      ? trans.__('Rank %1: %2', found[0], reason)
      : trans.__('Ranks %1: %2', ranges(found), reason)
  );
  return job.message ? [job.message, ...ranks] : ranks;
}

/** The trace of the first rank that failed by an exception. */
export function traceback(
  job: JobDetail
): { rank: number; text: string } | null {
  for (const { rank, death } of job.ranks) {
    const text = death?.['traceback'];
    if (typeof text === 'string' && text) {
      const told = death?.['rank'];
      return { rank: typeof told === 'number' ? told : rank, text };
    }
  }
  return null;
}

function reasonOf(rank: Rank): string {
  if (['running', 'succeeded'].includes(rank.state.phase)) {
    return rank.says ?? '';
  }
  return rank.state.message || rank.says || '';
}
