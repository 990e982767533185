import { nullTranslator } from '@jupyterlab/translation';

import { notices } from '../notify';
import { starting } from '../startup';
import type { IChange, Job, Kernel } from '../tokens';

const trans = nullTranslator.load('jupyter_kube');

const job = (phase: string, message = ''): Job =>
  ({
    name: 'digits-7f3a',
    phase,
    message,
    finished: !['waiting', 'starting', 'running'].includes(phase)
  }) as Job;
const kernel = (phase: string, more: object = {}): Kernel =>
  ({ id: 'k', phase, notebook: 'a.ipynb', message: '', ...more }) as Kernel;

function told(
  changes: { jobs?: IChange<Job>[]; kernels?: IChange<Kernel>[] },
  options: { first?: boolean; seen?: boolean; waited?: Set<string> } = {}
): string[] {
  const all = {
    first: options.first ?? false,
    jobs: changes.jobs ?? [],
    kernels: changes.kernels ?? []
  };
  const waited = options.waited ?? new Set();
  const seen = () => options.seen ?? false;
  return notices(all, waited, { job: seen, kernel: seen }, trans).map(
    each => each.message
  );
}

describe('a job', () => {
  const jobs = (before: Job | undefined, now: Job) => ({
    jobs: [{ id: now.name, before, now }]
  });

  it('that ended is told of', () => {
    expect(told(jobs(job('running'), job('succeeded')))).toEqual([
      'Job digits-7f3a is done.'
    ]);
    expect(told(jobs(job('waiting'), job('failed', 'OOM')))).toEqual([
      'Job digits-7f3a failed. OOM'
    ]);
  });

  it('that is looked at is not', () => {
    const change = jobs(job('running'), job('failed'));
    expect(told(change, { seen: true })).toEqual([]);
  });

  it('that had ended before this page was there is not', () => {
    expect(told(jobs(undefined, job('failed')))).toEqual([]);
    const change = jobs(undefined, job('succeeded'));
    expect(told(change, { first: true })).toEqual([]);
    expect(told(jobs(job('failed'), job('failed', 'more')))).toEqual([]);
  });

  it('that was stopped is not', () => {
    expect(told(jobs(job('running'), job('stopped')))).toEqual([]);
  });
});

it('of many things at once, as after a night offline, only counts them', () => {
  const jobs = ['succeeded', 'failed', 'succeeded', 'succeeded'].map(
    (phase, n) => ({ id: `j${n}`, before: job('running'), now: job(phase) })
  );
  expect(told({ jobs: jobs.slice(1) })).toHaveLength(3);
  expect(told({ jobs })).toEqual([
    '4 jobs and kernels have ended or come up; 1 of them failed.'
  ]);
});

describe('a kernel', () => {
  const kernels = (before: Kernel | undefined, now?: Kernel) => ({
    kernels: [{ id: 'k', before, now }]
  });

  it('that waited and is ready is told of, once', () => {
    const waited = new Set<string>();
    const waits = kernel('queued');
    told(kernels(undefined, waits), { waited, first: true });
    told(kernels(waits, kernel('starting')), { waited });
    const up = kernels(kernel('starting'), kernel('running'));
    expect(told(up, { waited })).toEqual(['The kernel of a.ipynb is ready.']);
    expect(told(up, { waited })).toEqual([]);
  });

  it('that is ready below the user’s eyes is not', () => {
    const waited = new Set(['k']);
    const up = kernels(kernel('starting'), kernel('running'));
    expect(told(up, { waited, seen: true })).toEqual([]);
    expect(told(up, { waited })).toEqual([]);
  });

  it('that started at once is not', () => {
    expect(told(kernels(kernel('starting'), kernel('running')))).toEqual([]);
  });

  it('that failed is told of', () => {
    const failed = kernel('failed', { message: 'preempted' });
    expect(told(kernels(kernel('running'), failed))).toEqual([
      'The kernel of a.ipynb failed. preempted'
    ]);
    expect(told(kernels(failed, failed))).toEqual([]);
  });

  it('that somebody deleted is not', () => {
    const gone = kernel('gone', { reason: 'Deleted' });
    expect(told(kernels(kernel('running'), gone))).toEqual([]);
    expect(told(kernels(gone))).toEqual([]);
  });
});

describe('a start', () => {
  const kernels = [
    kernel('running', { id: '1' }),
    kernel('pulling', { id: '2', notebook: 'b.ipynb' })
  ];

  it('is found by its id, or by its notebook', () => {
    expect(starting(kernels, '2', 'x.ipynb')).toBe(kernels[1]);
    expect(starting(kernels, undefined, 'b.ipynb')).toBe(kernels[1]);
  });

  it('is over when the kernel runs', () => {
    expect(starting(kernels, '1', 'b.ipynb')).toBeNull();
    expect(starting(kernels, undefined, 'a.ipynb')).toBeNull();
  });
});
