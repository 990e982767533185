import { CommandRegistry } from '@lumino/commands';
import { act, fireEvent, render, screen, within } from '@testing-library/react';
import React from 'react';

import { ClusterModel } from '../model';
import { ClusterSection } from '../sidebar/cluster';
import type { ISectionProps } from '../sidebar/context';
import { JobsSection } from '../sidebar/jobs';
import { KernelsSection } from '../sidebar/kernels';
import { wordsOf } from '../sidebar/news';
import { CommandIDs } from '../tokens';
import type { Live } from '../tokens';
import { FakeServer } from './server';
import { aJob, aKernel, trans } from './things';

const XSS = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>';

let server: FakeServer;
let model: ClusterModel;
let commands: CommandRegistry;
let executed: string[];

beforeEach(() => {
  server = new FakeServer();
  model = new ClusterModel(server.settings);
  commands = new CommandRegistry();
  executed = [];
  for (const id of Object.values(CommandIDs)) {
    commands.addCommand(id, {
      label: id,
      describedBy: { args: {} },
      execute: args => executed.push(`${id} ${JSON.stringify(args)}`)
    });
  }
});

afterEach(() => model.dispose());

/** Show a section as the sidebar does: drawn again whenever something has changed. */
function show(
  Body: React.FC<ISectionProps>,
  told: Live,
  more: Partial<ISectionProps> = {}
): void {
  const props: ISectionProps = {
    model,
    commands,
    trans,
    settings: { finishedJobs: true },
    isSeen: true,
    ...more
  };
  const { rerender } = render(<Body {...props} />);
  model.changed.connect(() => rerender(<Body {...props} />));
  tell(told);
}

const tell = (told: Live): void => act(() => server.socket.tell(told));
const press = (key: string): boolean =>
  fireEvent.keyDown(screen.getByRole('listbox'), { key });

describe('jobs', () => {
  const many = Array.from({ length: 5000 }, (_, n) => aJob(`job-${n}`));

  it('draws only some rows of 5,000, and says how many there are', () => {
    show(JobsSection, { cluster: { state: 'up' }, jobs: many });
    const rows = screen.getAllByRole('option');
    expect(rows.length).toBeLessThan(50);
    expect(rows[0].getAttribute('aria-setsize')).toBe('5000');
    expect(rows[0].textContent).toContain('job-0');
  });

  it('is walked by arrow keys, and opened by Enter', () => {
    show(JobsSection, { cluster: { state: 'up' }, jobs: many });
    press('ArrowDown');
    press('ArrowDown');
    const row = screen.getByRole('option', { selected: true });
    expect(row.textContent).toContain('job-1');
    const list = screen.getByRole('listbox');
    expect(list.getAttribute('aria-activedescendant')).toBe(row.id);
    press('Enter');
    expect(executed).toEqual([`${CommandIDs.openJob} {"name":"job-1"}`]);
  });

  it('offers what may be done with the chosen job, by name', () => {
    const message = 'no GPU free: 4 of 4 in use';
    show(JobsSection, {
      cluster: { state: 'up' },
      jobs: [aJob('one', { phase: 'waiting', message })]
    });
    fireEvent.click(screen.getByRole('option'));
    const detail = within(screen.getByRole('group', { name: 'one' }));
    expect(detail.getByText(message)).toBeTruthy();
    fireEvent.click(detail.getByText('Kill…'));
    expect(executed).toEqual([`${CommandIDs.killJob} {"name":"one"}`]);
  });

  it('shows how many ranks are done, and changes in place', () => {
    const job = aJob('one', { counts: { running: 1, pulling: 1 } });
    show(JobsSection, { cluster: { state: 'up' }, jobs: [job] });
    expect(screen.getByText('1 of 2 up')).toBeTruthy();
    tell({
      jobs: [
        { ...job, phase: 'succeeded', finished: true, counts: { succeeded: 2 } }
      ]
    });
    expect(screen.queryByText('2 of 2 done')).toBeNull();
    expect(
      screen.getByText('done', { exact: false, selector: '.jp-KubePhase' })
    );
  });

  it('counts ranks, of which a worker may have several', () => {
    const job = aJob('one', { counts: { running: 7, starting: 1 }, procs: 4 });
    show(JobsSection, { cluster: { state: 'up' }, jobs: [job] });
    expect(screen.getByText('7 of 8 up')).toBeTruthy();
  });

  it('forgets a chosen job that is gone', () => {
    show(JobsSection, {
      cluster: { state: 'up' },
      jobs: [aJob('one'), aJob('two')]
    });
    press('ArrowDown');
    tell({ gone: { jobs: ['one'] } });
    expect(screen.queryByRole('group')).toBeNull();
    expect(screen.queryByRole('option', { selected: true })).toBeNull();
  });

  it('finds jobs by words, and leaves finished ones out where that is set', () => {
    show(
      JobsSection,
      {
        cluster: { state: 'up' },
        jobs: [
          aJob('one', { framework: 'tensorflow' }),
          aJob('two'),
          aJob('three', { finished: true })
        ]
      },
      { settings: { finishedJobs: false } }
    );
    expect(screen.getAllByRole('option').length).toBe(2);
    fireEvent.change(screen.getByRole('searchbox'), {
      target: { value: 'Tensor on' }
    });
    expect(screen.getByRole('option').textContent).toContain('one');
  });

  it('finds jobs by the words that their rows show', () => {
    const full = 'no GPU free: 4 of 4 in use';
    show(JobsSection, {
      cluster: { state: 'up' },
      jobs: [
        aJob('one', { phase: 'succeeded', finished: true }),
        aJob('two', { phase: 'waiting', message: full }),
        aJob('three')
      ]
    });
    const search = (value: string) => {
      fireEvent.change(screen.getByRole('searchbox'), { target: { value } });
      return screen.queryAllByRole('option').map(row => row.textContent);
    };
    expect(search('done')).toEqual([expect.stringContaining('one')]);
    expect(search('gpu free')).toEqual([expect.stringContaining('two')]);
    expect(search('succeeded')).toEqual([]);
  });

  it('keeps names and messages text', () => {
    show(JobsSection, {
      cluster: { state: 'up' },
      jobs: [aJob(XSS, { message: XSS, framework: XSS, profile: XSS })]
    });
    fireEvent.click(screen.getByRole('option'));
    expect(document.querySelector('img, script')).toBeNull();
    expect(screen.getAllByText(XSS).length).toBeGreaterThan(1);
  });

  it('says how to come by a job where there is none', () => {
    show(JobsSection, { cluster: { state: 'up' }, jobs: [] });
    expect(screen.getByText(/%%kubetrain/)).toBeTruthy();
  });
});

describe('kernels', () => {
  it('shows why a kernel waits, in full', () => {
    const message = '0/1 nodes are available: 1 Insufficient nvidia.com/gpu.';
    show(KernelsSection, {
      cluster: { state: 'up' },
      kernels: [
        aKernel('k1', {
          phase: 'waiting',
          message,
          gpus: 1,
          execution_state: 'starting'
        })
      ]
    });
    const row = screen.getByRole('option');
    expect(row.textContent).toContain('waiting');
    expect(row.textContent).toContain(message);
    expect(row.textContent).toContain('1 GPU');
  });

  it('counts down to the end of an idle kernel', () => {
    const ends = new Date(Date.now() + 12 * 60_000).toISOString();
    show(KernelsSection, {
      cluster: { state: 'up' },
      kernels: [aKernel('k1', { ends })]
    });
    expect(screen.getByRole('option').textContent).toContain('ends in 12 min');
  });

  it('opens the notebook by Enter, and stops by a button', () => {
    show(KernelsSection, {
      cluster: { state: 'up' },
      kernels: [aKernel('k1')]
    });
    press('ArrowDown');
    press('Enter');
    const detail = within(screen.getByRole('group', { name: 'k1.ipynb' }));
    fireEvent.click(detail.getByText('Stop…'));
    expect(executed).toEqual([
      `${CommandIDs.openNotebook} {"id":"k1"}`,
      `${CommandIDs.stopKernel} {"id":"k1"}`
    ]);
  });
});

describe('cluster', () => {
  it('says where it is, and who of mine holds its GPUs', () => {
    show(ClusterSection, {
      cluster: {
        state: 'up',
        context: 'lab',
        namespace: 'ada',
        version: 'v1.35.4',
        gpus: [
          {
            resource: 'nvidia.com/gpu',
            total: 8,
            held: {
              'pod-k1': 1,
              'digits-7f3a-0-x2b4c': 2,
              'digits-7f3a-ps-1-q9z8y': 1,
              'strangers-pod': 1
            }
          }
        ]
      },
      kernels: [aKernel('k1')],
      jobs: [aJob('digits-7f3a')]
    });
    expect(screen.getByRole('status').textContent).toBe('Reachable');
    expect(screen.getByText('ada')).toBeTruthy();
    expect(screen.getByText('3 of 8 free')).toBeTruthy();
    expect(screen.getAllByRole('listitem').map(e => e.textContent)).toEqual([
      '1 · work/k1.ipynb',
      '3 · digits-7f3a',
      '1 · others'
    ]);
  });

  it('says what is in use where nodes may not be listed', () => {
    const gpu = { resource: 'nvidia.com/gpu', total: null, held: { other: 2 } };
    show(ClusterSection, { cluster: { state: 'up', gpus: [gpu] } });
    expect(screen.getByText('2 in use')).toBeTruthy();
  });

  it('says since when nothing is known', () => {
    show(ClusterSection, {
      cluster: { state: 'up' },
      stale_since: '2026-01-01T00:00:00Z'
    });
    expect(screen.getByRole('status').textContent).toMatch(/No answer since/);
  });

  it('says why there is none, and tries again', () => {
    const message = 'There is no cluster. Set KubeConfig.kubeconfig.';
    show(ClusterSection, {
      error: { message, what: '', why: '', next: '', object: '' }
    });
    expect(screen.getByRole('status').textContent).toBe(message);
    fireEvent.click(screen.getByText('Try again'));
    expect(executed).toEqual([`${CommandIDs.reconnect} {}`]);
  });
});

it('tells aloud which phases have changed, and only counts many', () => {
  const done = (name: string) => ({
    id: name,
    before: aJob(name),
    now: aJob(name, { phase: 'succeeded' })
  });
  const same = { id: 'x', before: aJob('x'), now: aJob('x', { message: 'm' }) };
  const changes = { first: false, kernels: [], jobs: [done('one'), same] };
  expect(wordsOf(changes, trans)).toBe('Job one: done');
  const four = ['a', 'b', 'c', 'd'].map(done);
  expect(wordsOf({ ...changes, jobs: four }, trans)).toMatch(/^4 /);
  expect(wordsOf({ ...changes, first: true }, trans)).toBe('');
});
