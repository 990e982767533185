import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { MessageLoop } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';
import { act, fireEvent, screen, within } from '@testing-library/react';

import type { IActions } from '../job/actions';
import { JobModel } from '../job/model';
import { JobView } from '../job/view';
import type { JobDetail } from '../tokens';

const trans = nullTranslator.load('jupyter_kube');

/** A websocket whose server is the test. */
class FakeSocket {
  static opened: FakeSocket[] = [];
  constructor(readonly url: string) {
    FakeSocket.opened.push(this);
  }
  onmessage: ((message: { data: string }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  close(): void {
    this.isClosed = true;
  }
  isClosed = false;
}

function job(more: object = {}): JobDetail {
  return {
    name: 'digits-7f3a',
    framework: 'tensorflow',
    workers: 2,
    least: 0,
    roles: [],
    profile: 'gpu',
    phase: 'running',
    message: '',
    started: Date.now() / 1000 - 90,
    ended: null,
    finished: false,
    ranks: [
      { rank: 0, state: { phase: 'running', message: '' }, progress: '2/5' },
      { rank: 1, state: { phase: 'queued', message: '0/9 nodes <b>' } }
    ],
    ...more
  } as unknown as JobDetail;
}

let frames: (() => void)[] = [];
const answer = jest.fn<Promise<Response>, [RequestInfo, RequestInit?]>();
let view: JobView;
const actions: jest.Mocked<IActions> = {
  scale: jest.fn(),
  kill: jest.fn(),
  rerun: jest.fn(),
  why: jest.fn()
};

/** Tell something as the server does, and draw. */
function tell(told: object): void {
  const socket = FakeSocket.opened[FakeSocket.opened.length - 1];
  act(() => {
    socket.onmessage!({ data: JSON.stringify(told) });
  });
  draw();
}

function draw(): void {
  act(() => frames.splice(0).forEach(frame => frame()));
}

const batch = (more: object = {}, about: object = {}) => ({
  job: job(about),
  lines: [],
  dropped: 0,
  reports: [],
  ...more
});

beforeEach(() => {
  global.ResizeObserver = class {
    observe(): void {}
    disconnect(): void {}
    unobserve(): void {}
  };
  jest.useFakeTimers();
  actions.why.mockResolvedValue([]);
  answer.mockRejectedValue(new TypeError('nobody is there'));
  FakeSocket.opened = [];
  frames = [];
  const settings = ServerConnection.makeSettings({
    wsUrl: 'ws://host/base/',
    token: 'secret',
    appendToken: true,
    fetch: answer,
    WebSocket: FakeSocket as unknown as typeof WebSocket
  });
  const model = new JobModel({
    name: 'digits-7f3a',
    settings,
    schedule: tell => frames.push(tell)
  });
  view = new JobView(model, actions, trans);
  act(() => {
    Widget.attach(view, document.body);
    MessageLoop.flush();
  });
});

afterEach(() => {
  act(() => view.dispose());
  jest.useRealTimers();
  jest.clearAllMocks();
});

describe('a job’s tab', () => {
  it('says why it may not ask', async () => {
    answer.mockResolvedValue(
      new Response(JSON.stringify({ message: 'Forbidden' }), { status: 403 })
    );
    await act(async () => {
      FakeSocket.opened[0].onclose!({ code: 1006 });
      await jest.advanceTimersByTimeAsync(0);
    });
    draw();
    expect(screen.getByText('Forbidden')).toBeTruthy();
    await jest.advanceTimersByTimeAsync(60_000);
    expect(FakeSocket.opened).toHaveLength(1);
  });

  it('asks the server for the job', () => {
    expect(FakeSocket.opened[0].url).toBe(
      'ws://host/base/jupyter-kube/jobs/digits-7f3a/logs?token=secret'
    );
    expect(screen.getByText('Asking for job digits-7f3a …')).toBeTruthy();
  });

  it('shows ranks with words and reasons, as texts', () => {
    tell(batch());
    const ranks = within(screen.getByLabelText('Ranks')).getAllByRole(
      'listitem'
    );
    expect(ranks[0].textContent).toContain('running');
    expect(ranks[0].textContent).toContain('2/5');
    expect(ranks[1].textContent).toContain('0/9 nodes <b>');
    expect(ranks[1].title).toBe('0/9 nodes <b>');
    expect(screen.getByText('Rank 1: 0/9 nodes <b>')).toBeTruthy();
    expect(screen.getByRole('progressbar')).toBeTruthy();
  });

  it('shows lines, of one rank if so wished', () => {
    tell(
      batch({
        lines: [
          { rank: 0, text: 'one <script>alert(1)</script>' },
          { rank: 1, text: 'two' }
        ]
      })
    );
    const log = screen.getByRole('log');
    expect(log.textContent).toContain('[0] one <script>alert(1)</script>');
    fireEvent.change(screen.getByLabelText('Rank'), { target: { value: '1' } });
    expect(log.textContent).toBe('[1] two');
    expect(screen.getByText('1 line')).toBeTruthy();
    fireEvent.change(screen.getByLabelText('Search'), {
      target: { value: 'nowhere' }
    });
    expect(log.textContent).toBe('');
  });

  it('draws as many of a flood of lines as can be seen, once a frame', () => {
    tell(batch());
    const socket = FakeSocket.opened[0];
    const lines = Array.from({ length: 2000 }, (_, index) => ({
      rank: index % 30,
      text: `line ${index}`
    }));
    const data = JSON.stringify(batch({ lines }));
    for (let count = 0; count < 40; count++) {
      socket.onmessage!({ data });
    }
    expect(frames).toHaveLength(1);
    draw();
    expect(screen.getByRole('log').querySelectorAll('div').length).toBeLessThan(
      100
    );
    expect(screen.getByText(/30000 earlier lines are not shown/)).toBeTruthy();
  });

  it('draws curves of what was reported', () => {
    const row = (step: number, loss: number) => [
      step,
      1,
      0,
      step,
      step,
      { loss }
    ];
    tell(batch({ reports: [['pod', [row(1, 0.5), row(2, 0.25)]]] }));
    expect(
      screen.getByRole('img', { name: 'loss, rank 0: 0.5 → 0.25' })
    ).toBeTruthy();
  });

  it('says that the connection is lost, and shows nothing twice after', () => {
    tell(batch({ lines: [{ rank: 0, text: 'one' }] }));
    act(() => FakeSocket.opened[0].onclose!({ code: 1006 }));
    draw();
    expect(screen.getByText(/connection to the Jupyter Server/)).toBeTruthy();
    act(() => jest.advanceTimersByTime(60_000));
    expect(FakeSocket.opened).toHaveLength(2);
    tell(batch({ lines: [{ rank: 0, text: 'one' }] }));
    expect(screen.getByRole('log').textContent).toBe('[0] one');
    expect(screen.queryByText(/connection to the Jupyter Server/)).toBeNull();
  });

  it('does not ask again after the end', () => {
    tell(batch({}, { phase: 'succeeded', finished: true, ended: 1 }));
    act(() => FakeSocket.opened[0].onclose!({ code: 1000 }));
    act(() => jest.advanceTimersByTime(60_000));
    expect(FakeSocket.opened).toHaveLength(1);
    expect(screen.getByText('Remove…')).toBeTruthy();
  });

  it('offers nothing of a job that was removed', () => {
    tell(batch({}, { phase: 'stopped', finished: true }));
    const ranks = within(screen.getByLabelText('Ranks')).getAllByRole(
      'listitem'
    );
    expect(ranks[0].textContent).toContain('stopped');
    expect(screen.queryByText('Run again')).toBeNull();
    expect(screen.queryByText('Remove…')).toBeNull();
  });

  it('asks again for an ended job whose lines were cut off', () => {
    tell(batch({}, { phase: 'succeeded', finished: true, ended: 1 }));
    act(() => FakeSocket.opened[0].onclose!({ code: 1006 }));
    act(() => jest.advanceTimersByTime(60_000));
    expect(FakeSocket.opened).toHaveLength(2);
  });

  it('says why it cannot be followed, and tries again when asked', () => {
    tell({ error: { message: 'There is no job digits-7f3a' } });
    expect(screen.getByRole('alert').textContent).toContain('There is no job');
    act(() => jest.advanceTimersByTime(60_000));
    expect(FakeSocket.opened).toHaveLength(1);
    fireEvent.click(screen.getByText('Try again'));
    expect(FakeSocket.opened).toHaveLength(2);
  });

  it('scales elastic jobs only', async () => {
    tell(batch());
    expect(screen.queryByText('Scale')).toBeNull();
    tell(batch({}, { least: 1, workers: 2 }));
    // The answer knows of ranks only what is in the cluster, and not in their logs.
    const ranks = [{ rank: 0, state: { phase: 'running', message: '' } }];
    actions.scale.mockResolvedValue(job({ least: 1, workers: 3, ranks }));
    const field = screen.getByLabelText('Workers at most');
    fireEvent.change(field, { target: { value: '3' } });
    await act(async () => fireEvent.click(screen.getByText('Scale')));
    draw();
    expect(actions.scale).toHaveBeenCalledWith('digits-7f3a', 3);
    expect(screen.getByText(/1 to 3 workers/)).toBeTruthy();
    expect(screen.getByLabelText('Ranks').textContent).toContain('2/5');
  });

  it('shows a refusal where it was caused', async () => {
    tell(batch());
    actions.rerun.mockRejectedValue(new Error('no such profile any more'));
    await act(async () => fireEvent.click(screen.getByText('Run again')));
    expect(screen.getByRole('alert').textContent).toBe(
      'no such profile any more'
    );
  });

  it('says of one that failed what the server finds, asked once', async () => {
    const printed = 'rank 1 was killed. It printed last:\n    <b>so far</b>';
    actions.why.mockResolvedValue([printed, 'Look at job/digits-7f3a.']);
    const failed = { phase: 'failed', finished: true, message: 'rank 1 …' };
    tell(batch({}, failed));
    expect(screen.getByText('rank 1 …')).toBeTruthy();
    await act(async () => undefined);
    tell(batch({}, failed));
    const why = within(screen.getByLabelText('Why'));
    expect(why.getAllByRole('listitem').map(e => e.textContent)).toEqual([
      printed,
      'Look at job/digits-7f3a.'
    ]);
    expect(actions.why.mock.calls).toEqual([['digits-7f3a']]);
  });

  it('says what it knows itself where the server does not answer', async () => {
    actions.why.mockRejectedValue(new Error('503'));
    tell(batch({}, { phase: 'failed', finished: true, message: 'rank 1 …' }));
    await act(async () => undefined);
    expect(screen.getByText('rank 1 …')).toBeTruthy();
  });

  it('shows the traceback of what failed', () => {
    const death = { traceback: 'Traceback: ZeroDivisionError' };
    const state = { phase: 'failed', message: 'ZeroDivisionError' };
    tell(batch({}, { phase: 'failed', ranks: [{ rank: 0, state, death }] }));
    expect(screen.getByText('Traceback of rank 0')).toBeTruthy();
    expect(screen.getByText('Traceback: ZeroDivisionError')).toBeTruthy();
  });
});
