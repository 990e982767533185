import { nullTranslator } from '@jupyterlab/translation';

import { duration } from '../duration';
import { Progress } from '../job/progress';
import { MOST_POINTS, Row, Series } from '../job/series';
import { ranges, traceback, why } from '../job/why';
import { detail, metrics, title } from '../job/words';
import type { JobDetail, Rank } from '../tokens';
import told from './told.json';

const trans = nullTranslator.load('jupyter_kube');

function rank(number: number, more: object = {}, phase = 'running'): Rank {
  const state = { phase, message: '' };
  return { rank: number, state, ...more } as Rank;
}

function job(ranks: Rank[], more: object = {}): JobDetail {
  const plain = { name: 'j', message: '', phase: 'running', finished: false };
  return { ...plain, started: 100, ended: null, ranks, ...more } as JobDetail;
}

describe('words', () => {
  it.each(told.durations)('of a time: %j', ({ seconds, words }) => {
    expect(duration(seconds, trans)).toBe(words);
  });

  it('of a job say what it is', () => {
    const is = (more: object): string =>
      title(
        job([], { framework: 'python', workers: 4, least: 0, ...more }),
        trans
      );
    expect(is({ profile: 'gpu' })).toBe('python · 4 workers · gpu');
    expect(is({ least: 2 })).toBe('python · 2 to 4 workers');
    expect(is({ procs: 8 })).toBe('python · 4 workers of 8 processes');
    expect(is({ roles: ['chief', '3 workers'] })).toBe(
      'python · chief, 3 workers'
    );
  });

  it.each(told.metrics)('of metrics: %j', ({ values, words }) => {
    expect(metrics({ ...values })).toBe(words);
  });

  it('of a progress bar have no control sequences', () => {
    const progress = '\x1b[1m30/120\x1b[0m \x1b[32m━━━\x1b[0m';
    expect(detail(rank(0, { progress }), 0, trans)).toBe('30/120 ━━━');
  });

  it('of a rank say why it waits, else how far it is', () => {
    const waits = rank(0, {}, 'queued');
    waits.state.message = 'no GPU free';
    expect(detail(waits, 0, trans)).toBe('no GPU free');
    expect(detail({ ...waits, due: 12 }, 0, trans)).toBe(
      'no GPU free; Kubernetes replaces it in 12 s'
    );
    const runs = rank(0, { metrics: { loss: 0.5 }, progress: '3/5' });
    expect(detail(runs, 0, trans)).toBe('loss 0.5  3/5');
    expect(detail({ ...runs, says: 'waits' }, 0, trans)).toBe('waits');
  });
});

describe('progress', () => {
  it.each(told.shares)('is found alike in both languages: %j', told => {
    const progress = new Progress();
    const lines = told.lines ?? [];
    progress.hear(lines.map(text => ({ rank: 0, text })));
    progress.see(job([rank(0, told.rank)]), 0);
    expect(progress.share).toBe(told.share);
  });

  it('is that of the slowest rank that tells', () => {
    const progress = new Progress();
    const ranks = ['9/10', '', '4/10'].map((bar, index) =>
      rank(index, { progress: bar })
    );
    progress.see(job(ranks), 0);
    expect(progress.share).toBe(0.4);
  });

  it('says how long the rest takes, by the pace since the last start', () => {
    const progress = new Progress();
    const see = (bar: string, now: number) =>
      progress.see(job([rank(0, { progress: bar })]), now);
    see('10/100', 100);
    expect(progress.left).toBeNull();
    see('20/100', 110);
    expect(progress.left).toBeCloseTo(80);
    see('5/100', 120); // all ranks began anew
    expect(progress.left).toBeNull();
    see('15/100', 121);
    expect(progress.left).toBeCloseTo(8.5);
  });
});

describe('why', () => {
  it('says each reason once, with its ranks', () => {
    const waits = [0, 1, 2, 5].map(number => {
      const found = rank(number, {}, 'queued');
      found.state.message = 'no GPU free';
      return found;
    });
    const all = [...waits, rank(3), rank(4, { says: 'waiting for ranks 0' })];
    expect(why(job(all, { message: 'quota' }), trans)).toEqual([
      'quota',
      'Ranks 0–2, 5: no GPU free',
      'Rank 4: waiting for ranks 0'
    ]);
  });

  it('is nothing where all is well', () => {
    expect(why(job([rank(0)]), trans)).toEqual([]);
  });

  it('has the traceback of the first that raised', () => {
    const death = { traceback: 'Traceback …' };
    expect(traceback(job([rank(0), rank(1, { death })]))).toEqual({
      rank: 1,
      text: 'Traceback …'
    });
    expect(traceback(job([rank(0, { death: null })]))).toBeNull();
  });

  it('names ranks as people do', () => {
    expect(ranges([3, 1, 2, 7])).toBe('1–3, 7');
  });
});

describe('Series', () => {
  it('is over steps, else over epochs, else over time', () => {
    const series = new Series();
    const rows: Row[] = [
      [1, 1, 0, 100, 7, { step_loss: 1, epoch: 1 }],
      [2, 1, 0, 101, 8, { step_loss: 2, epoch: 1 }],
      [3, 1, 0, 102, null, { loss: 3, epoch: 1, epochs: 2 }],
      [4, 1, 0, 103, null, { loss: 4, epoch: 2, epochs: 2 }],
      [5, 1, 0, 104, null, { speed: 5 }],
      [6, 1, 0, 99, null, { speed: 6 }]
    ];
    series.add([['pod-0', rows]]);
    const points = series.curves().map(({ metric, lines }) => [metric, lines]);
    expect(points).toEqual([
      ['step_loss', [{ rank: 0, points: [[7, 1], [8, 2]] }]], // prettier-ignore
      ['loss', [{ rank: 0, points: [[1, 3], [2, 4]] }]], // prettier-ignore
      ['speed', [{ rank: 0, points: [[0, 6], [4, 5]] }]] // prettier-ignore
    ]);
  });

  const row = (step: number | null, values: object, whose = 0): Row => [
    0,
    1,
    whose,
    1000 + (step ?? 0),
    step,
    values as Record<string, unknown>
  ];

  it('draws metrics of at least two points, by rank', () => {
    const series = new Series();
    series.add([
      ['a', [row(1, { loss: 3, note: 'x' }), row(2, { loss: 2, once: 1 })]],
      ['b', [row(1, { loss: 4 }, 1)]]
    ]);
    expect(series.curves()).toEqual([
      {
        metric: 'loss',
        lines: [
          {
            rank: 0,
            points: [
              [1, 3],
              [2, 2]
            ]
          },
          { rank: 1, points: [[1, 4]] }
        ]
      }
    ]);
  });

  it('has the newest value of a step told again', () => {
    const series = new Series();
    series.add([['a', [row(1, { x: 1 }), row(2, { x: 2 }), row(3, { x: 3 })]]]);
    series.add([['a', [row(2, { x: 9 })]]]);
    expect(series.curves()[0].lines[0].points).toEqual([
      [1, 1],
      [2, 9],
      [3, 3]
    ]);
  });

  it('keeps a bounded number of points, the last one among them', () => {
    const series = new Series();
    for (let step = 0; step < 10_000; step++) {
      series.add([['a', [row(step, { x: step })]]]);
    }
    const { points } = series.curves()[0].lines[0];
    expect(points.length).toBeLessThanOrEqual(MOST_POINTS + 1);
    expect(points.length).toBeGreaterThan(MOST_POINTS / 4);
    expect(points[0]).toEqual([0, 0]);
    expect(points[points.length - 1]).toEqual([9999, 9999]);
  });

  it('draws no infinities', () => {
    const series = new Series();
    series.add([['a', [row(1, { x: Infinity }), row(2, { x: NaN })]]]);
    expect(series.curves()).toEqual([]);
  });
});
