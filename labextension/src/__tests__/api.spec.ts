import * as api from '../api';
import { FakeServer } from './server';

let server: FakeServer;

beforeEach(() => {
  server = new FakeServer();
});

const asked = (): string =>
  server.requests.map(({ method, url }) => `${method} ${url}`).join();

it('asks for profiles below the base address', async () => {
  const profiles = { profiles: [], wrong: {} };
  server.answer = () => new Response(JSON.stringify(profiles));
  expect(await api.getProfiles(server.settings)).toEqual(profiles);
  expect(asked()).toBe('GET http://localhost/lab-test/jupyter-kube/profiles');
});

it('asks whether a size fits, but for what is the profile’s own', async () => {
  const size = { profile: '', workers: 4, gpus: '0', cpu: '', memory: '4Gi' };
  await api.getFit(server.settings, size);
  expect(asked()).toBe(
    'GET http://localhost/lab-test/jupyter-kube/fit?workers=4&gpus=0&memory=4Gi'
  );
});

it('scales by a body of JSON', async () => {
  await api.scaleJob(server.settings, 'digits-7f3a', 3);
  expect(asked()).toBe(
    'PATCH http://localhost/lab-test/jupyter-kube/jobs/digits-7f3a'
  );
  expect(await server.requests[0].json()).toEqual({ workers: 3 });
  expect(server.requests[0].headers.get('Content-Type')).toBe(
    'application/json'
  );
});

it('kills with no answer but that it is done', async () => {
  server.answer = () => new Response(null, { status: 204 });
  expect(await api.killJob(server.settings, 'one')).toBeUndefined();
  expect(asked()).toBe(
    'DELETE http://localhost/lab-test/jupyter-kube/jobs/one'
  );
});

it('sends the key of a rerun', async () => {
  await api.rerunJob(server.settings, 'one', 'a-key');
  expect(asked()).toBe(
    'POST http://localhost/lab-test/jupyter-kube/jobs/one/rerun'
  );
  expect(server.requests[0].headers.get('Idempotency-Key')).toBe('a-key');
});

it('does not let a name leave its place in the address', async () => {
  await api.getWhy(server.settings, '../../api/kernels?x#y');
  expect(asked()).toBe(
    'GET http://localhost/lab-test/jupyter-kube/jobs/..%2F..%2Fapi%2Fkernels%3Fx%23y/why'
  );
});

it('raises what the server says, in parts', async () => {
  const trouble = {
    message: 'one is not elastic. Run it with -w MIN:MAX.',
    what: 'one is not elastic',
    why: '',
    next: 'Run it with -w MIN:MAX.',
    object: 'Job/one'
  };
  server.answer = () => new Response(JSON.stringify(trouble), { status: 409 });
  const failure = await api.scaleJob(server.settings, 'one', 3).catch(e => e);
  expect(failure).toBeInstanceOf(api.ApiError);
  expect(failure.message).toBe(trouble.message);
  expect(failure.status).toBe(409);
  expect(failure.trouble).toEqual(trouble);
});

it("says something of answers that are not the server's own", async () => {
  server.answer = () =>
    new Response('<html>', { status: 502, statusText: 'Bad Gateway' });
  const failure = await api.getProfiles(server.settings).catch(e => e);
  expect(failure.message).toBe('The server answered: 502 Bad Gateway');
});

it('leaves the token out of a websocket where a cookie does', () => {
  const settings = { ...server.settings, appendToken: false };
  expect(api.socketUrl(settings, 'live')).toBe(
    'ws://localhost/lab-test/jupyter-kube/live'
  );
});
