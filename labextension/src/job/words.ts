/**
 * How a job and its ranks are put into words (pure).
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import type { Rank } from '../tokens';

/** Write a duration as people say it: 45 s, 1 min 12 s, 2 h 3 min, 1 d 4 h. */
export function duration(seconds: number, trans: TranslationBundle): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) {
    return trans.__('%1 s', whole);
  }
  if (whole < 3600) {
    return trans.__('%1 min %2 s', Math.floor(whole / 60), whole % 60);
  }
  if (whole < 86400) {
    const hours = Math.floor(whole / 3600);
    return trans.__('%1 h %2 min', hours, Math.floor((whole % 3600) / 60));
  }
  const days = Math.floor(whole / 86400);
  return trans.__('%1 d %2 h', days, Math.floor((whole % 86400) / 3600));
}

/** Write reported values in their order, numbers to four digits. */
export function metrics(values: Record<string, unknown> | undefined): string {
  return Object.entries(values ?? {})
    .map(([name, value]) => `${name} ${shortened(value)}`)
    .join('  ');
}

export function shortened(value: unknown): string {
  return typeof value === 'number' && !Number.isInteger(value)
    ? String(Number(value.toPrecision(4)))
    : String(value);
}

/** Write what there is to say of a rank: why it waits, else how far it is. */
export function detail(
  rank: Rank,
  now: number,
  trans: TranslationBundle
): string {
  const { phase, message } = rank.state;
  if (phase === 'running' || phase === 'succeeded') {
    const told = [metrics(rank.metrics), rank.progress].filter(Boolean);
    return rank.says || told.join('  ');
  }
  const reason = message || rank.says || '';
  if (rank.due === null || rank.due === undefined) {
    return reason;
  }
  const replaced = trans.__(
    'Kubernetes replaces it in %1',
    duration(rank.due - now, trans)
  );
  return reason ? `${reason}; ${replaced}` : replaced;
}
