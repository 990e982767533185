/**
 * How a job and its ranks are put into words (pure).
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import { duration } from '../duration';
import type { Job, Rank } from '../tokens';

/** Metrics that tell how far a rank is, and those that tell of how many. */
export const TOTALS: ReadonlyMap<string, string> = new Map([
  ['step', 'steps'],
  ['epoch', 'epochs']
]);

/** A terminal's control sequences, which mean nothing here. */
// eslint-disable-next-line no-control-regex
const CODES = /\x1b(?:\[[0-?]*[ -/]*[@-~]?|\][^\x07]*\x07?|.)?/g;

/** Take a terminal's control sequences out of a text. */
export function uncoded(text: string): string {
  return text.includes('\x1b') ? text.replace(CODES, '') : text;
}

/** Write what a job is: framework, workers, profile. */
export function title(
  job: Omit<Job, 'counts'>,
  trans: TranslationBundle
): string {
  const { least, workers, procs = 1 } = job;
  const size = least
    ? trans.__('%1 to %2 workers', least, workers)
    : trans._n('%1 worker', '%1 workers', workers);
  const all = job.roles?.join(', ') || size;
  const each = trans.__('%1 of %2 processes', all, procs);
  return [job.framework, procs > 1 ? each : all, job.profile]
    .filter(Boolean)
    .join(' · ');
}

/** Write reported values in their order, numbers to four digits, steps as 3/10. */
export function metrics(values: Record<string, unknown> = {}): string {
  const has = (name: string | undefined): name is string =>
    name !== undefined && name in values;
  const totals = [...TOTALS].flatMap(([name, of]) => (has(name) ? of : []));
  return Object.keys(values)
    .filter(name => !totals.includes(name))
    .map(name => {
      const of = TOTALS.get(name);
      const total = has(of) ? `/${shortened(values[of])}` : '';
      return `${name} ${shortened(values[name])}${total}`;
    })
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
    const bar = uncoded(rank.progress ?? '');
    const told = [metrics(rank.metrics), bar].filter(Boolean);
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
