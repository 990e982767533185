import { ClusterModel } from '../model';
import type { IChanges, Live } from '../tokens';
import { FakeServer } from './server';
import { aJob, aKernel } from './things';

const EVERYTHING: Live = {
  cluster: { state: 'up', namespace: 'ada' },
  kernels: [aKernel('k1')],
  jobs: [aJob('two'), aJob('one')],
  stale_since: null
};
const REFUSAL = {
  message: 'no cluster: no kubeconfig',
  what: 'no cluster',
  why: 'no kubeconfig',
  next: '',
  object: ''
};

let server: FakeServer;
let model: ClusterModel;
let told: IChanges[];

beforeEach(() => {
  jest.useFakeTimers();
  server = new FakeServer();
  model = new ClusterModel(server.settings);
  told = [];
  model.changed.connect((_, changes) => told.push(changes));
});

afterEach(() => {
  model.dispose();
  jest.useRealTimers();
});

/** Let what waits for nothing but answers go on. */
async function settle(): Promise<void> {
  await jest.advanceTimersByTimeAsync(0);
}

it('asks once, with the token', () => {
  expect(server.sockets.map(({ url }) => url)).toEqual([
    'ws://localhost/lab-test/jupyter-kube/live?token=secret'
  ]);
  expect(model.connection).toBe('connecting');
});

it('knows everything after the first message', async () => {
  server.socket.tell(EVERYTHING);
  await model.ready;
  expect(model.connection).toBe('live');
  expect(model.cluster).toEqual({ state: 'up', namespace: 'ada' });
  expect([...model.jobs.keys()]).toEqual(['two', 'one']);
  expect([...model.kernels.keys()]).toEqual(['k1']);
  expect(told.map(({ first }) => first)).toEqual([true]);
});

it('puts new jobs first, and leaves alone what is not told', () => {
  server.socket.tell(EVERYTHING);
  const { kernels } = model;
  server.socket.tell({
    jobs: [aJob('three'), aJob('one', { phase: 'failed' })],
    gone: { jobs: ['two'] }
  });
  expect([...model.jobs.keys()]).toEqual(['three', 'one']);
  expect(model.jobs.get('one')?.phase).toBe('failed');
  expect(model.kernels).toBe(kernels);
  expect(model.cluster?.namespace).toBe('ada');
  expect(told[1].first).toBe(false);
  expect(told[1].jobs.map(({ id }) => id)).toEqual(['three', 'one', 'two']);
});

it('knows since when all is old, and when it is not any more', () => {
  server.socket.tell(EVERYTHING);
  server.socket.tell({ stale_since: '2026-01-01T00:00:00Z' });
  expect(model.staleSince).toEqual(new Date('2026-01-01T00:00:00Z'));
  server.socket.tell({ jobs: [] });
  expect(model.staleSince).not.toBeNull();
  server.socket.tell({ stale_since: null });
  expect(model.staleSince).toBeNull();
});

it('comes back after a loss, and tells only what has changed meanwhile', async () => {
  server.socket.tell(EVERYTHING);
  server.socket.drop();
  expect(model.connection).toBe('lost');
  expect([...model.jobs.keys()]).toEqual(['two', 'one']);
  await jest.advanceTimersByTimeAsync(1000);
  expect(server.sockets.length).toBe(2);
  server.socket.tell({ ...EVERYTHING, jobs: [aJob('two')] });
  expect(model.connection).toBe('live');
  const last = told[told.length - 1];
  expect(last.first).toBe(false);
  expect(last.kernels).toEqual([]);
  expect(last.jobs).toEqual([{ id: 'one', before: aJob('one') }]);
});

it('comes back also to a server that ended in good order', async () => {
  server.socket.tell(EVERYTHING);
  server.socket.drop(1000);
  await jest.advanceTimersByTimeAsync(1000);
  expect(server.sockets.length).toBe(2);
});

it('waits longer and longer, but never longer than half a minute', async () => {
  server.answer = () => new Response('', { status: 502 });
  const waits: number[] = [];
  for (let attempt = 0; attempt < 8; attempt++) {
    const opened = server.sockets.length;
    server.socket.drop();
    let waited = 0;
    while (server.sockets.length === opened) {
      await jest.advanceTimersByTimeAsync(100);
      waited += 100;
    }
    waits.push(waited);
  }
  expect(waits[0]).toBeLessThanOrEqual(1100);
  expect(waits[7]).toBeGreaterThanOrEqual(15_000);
  expect(waits[7]).toBeLessThanOrEqual(30_100);
  expect(model.connection).toBe('lost');
});

it('says that the server extension is missing, and waits to be asked again', async () => {
  server.answer = () => new Response('Not Found', { status: 404 });
  server.socket.drop();
  await settle();
  expect(model.connection).toBe('missing');
  expect(server.requests[0].url).toBe(
    'http://localhost/lab-test/jupyter-kube/profiles'
  );
  await jest.advanceTimersByTimeAsync(120_000);
  expect(server.sockets.length).toBe(1);
  model.reconnect();
  expect(server.sockets.length).toBe(2);
  server.socket.tell(EVERYTHING);
  expect(model.connection).toBe('live');
});

it('passes on why it is refused', async () => {
  server.answer = () =>
    new Response(JSON.stringify({ message: 'Forbidden' }), { status: 403 });
  server.socket.drop();
  await settle();
  expect(model.connection).toBe('ended');
  expect(model.trouble?.message).toBe('Forbidden');
});

it.each([424, 429, 500, 502])('comes back after a %d', async status => {
  server.answer = () => new Response('<html>', { status });
  server.socket.drop();
  await settle();
  expect(model.connection).toBe('lost');
  await jest.advanceTimersByTimeAsync(1000);
  expect(server.sockets.length).toBe(2);
});

it('finds the extension missing also after the server came back without it', async () => {
  server.socket.tell(EVERYTHING);
  server.socket.drop();
  await jest.advanceTimersByTimeAsync(1000);
  server.answer = () => new Response('Not Found', { status: 404 });
  server.socket.drop();
  await settle();
  expect(model.connection).toBe('missing');
});

it('ends with what the server says, and closes the websocket', async () => {
  server.socket.tell({ error: REFUSAL });
  expect(model.connection).toBe('ended');
  expect(model.trouble).toEqual(REFUSAL);
  expect(server.socket.isClosed).toBe(true);
  await jest.advanceTimersByTimeAsync(120_000);
  expect(server.sockets.length).toBe(1);
});

it('lets go of all when it is disposed', async () => {
  server.socket.drop();
  model.dispose();
  await jest.advanceTimersByTimeAsync(120_000);
  expect(server.sockets.length).toBe(1);
});
