import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ServiceManager } from '@jupyterlab/services';
import {
  acceptDialog,
  dismissDialog,
  waitForDialog
} from '@jupyterlab/testing';
import { CommandRegistry } from '@lumino/commands';
import { Signal } from '@lumino/signaling';

import { addJobCommands } from '../commands/jobs';
import { addKernelCommands } from '../commands/kernels';
import { ClusterModel } from '../model';
import { CommandIDs } from '../tokens';
import type { Live } from '../tokens';
import { FakeServer } from './server';
import { aJob, aKernel, trans } from './things';

const EVERYTHING: Live = {
  cluster: { state: 'up' },
  kernels: [
    aKernel('here', { notebook: 'old/name.ipynb' }),
    aKernel('bare'),
    aKernel('elsewhere', { execution_state: null })
  ],
  jobs: [aJob('one'), aJob('elastic', { least: 1 })]
};

let server: FakeServer;
let model: ClusterModel;
let commands: CommandRegistry;
let ended: string[];

beforeEach(() => {
  server = new FakeServer();
  model = new ClusterModel(server.settings);
  commands = new CommandRegistry();
  ended = [];
  const session = {
    id: 's1',
    path: 'new/name.ipynb',
    kernel: { id: 'here' }
  };
  const app = {
    commands,
    serviceManager: {
      serverSettings: server.settings,
      sessions: {
        running: () => [session].values(),
        shutdown: async (id: string) => void ended.push(`session ${id}`)
      },
      kernels: {
        shutdown: async (id: string) => void ended.push(`kernel ${id}`)
      }
    } as unknown as ServiceManager,
    shell: { disposed: new Signal({}) }
  } as unknown as JupyterFrontEnd;
  addJobCommands(app, model, trans);
  addKernelCommands(app, model, trans, () => 'folder');
  server.socket.tell(EVERYTHING);
});

afterEach(() => model.dispose());

const asked = (): string[] =>
  server.requests.map(
    ({ method, url }) => `${method} ${new URL(url).pathname}`
  );

describe('jobs', () => {
  it('are killed after consent', async () => {
    server.answer = () => new Response(null, { status: 204 });
    const done = commands.execute(CommandIDs.killJob, { name: 'one' });
    await acceptDialog();
    await done;
    expect(asked()).toEqual(['DELETE /lab-test/jupyter-kube/jobs/one']);
  });

  it('are killed also where the live view does not know them', async () => {
    server.answer = () => new Response(null, { status: 204 });
    const done = commands.execute(CommandIDs.killJob, { name: 'unknown' });
    await acceptDialog();
    await done;
    expect(asked()).toEqual(['DELETE /lab-test/jupyter-kube/jobs/unknown']);
  });

  it('are not killed without', async () => {
    const done = commands.execute(CommandIDs.killJob, { name: 'one' });
    await dismissDialog();
    await done;
    expect(asked()).toEqual([]);
  });

  it('are run again once for each time that is asked', async () => {
    server.answer = () => new Response(JSON.stringify(aJob('two')));
    const names = [
      await commands.execute(CommandIDs.rerunJob, { name: 'one' }),
      await commands.execute(CommandIDs.rerunJob, { name: 'one' })
    ];
    expect(names).toEqual(['two', 'two']);
    const keys = server.requests.map(r => r.headers.get('Idempotency-Key'));
    expect(new Set(keys).size).toBe(2);
    expect(keys).not.toContain(null);
  });

  it('are run again once for two clicks in a row', async () => {
    server.answer = () => new Response(JSON.stringify(aJob('two')));
    const names = await Promise.all([
      commands.execute(CommandIDs.rerunJob, { name: 'one' }),
      commands.execute(CommandIDs.rerunJob, { name: 'one' })
    ]);
    expect(names).toEqual(['two', 'two']);
    expect(server.requests).toHaveLength(1);
  });

  it.each(['0', ''])('are scaled to what was typed: %j', async typed => {
    const message = 'elastic needs at least 1 workers';
    server.answer = () =>
      new Response(JSON.stringify({ message }), { status: 400 });
    const done = commands.execute(CommandIDs.scaleJob, { name: 'elastic' });
    await waitForDialog();
    document.querySelector<HTMLInputElement>('.jp-Dialog input')!.value = typed;
    await acceptDialog();
    await waitForDialog();
    expect(document.querySelector('.jp-Dialog-body')?.textContent).toContain(
      message
    );
    await acceptDialog();
    await done;
  });

  it('are scaled only if they are elastic and go on', () => {
    const can = (name: string): boolean =>
      commands.isEnabled(CommandIDs.scaleJob, { name });
    expect([can('one'), can('elastic'), can('unknown')]).toEqual([
      false,
      true,
      false
    ]);
    server.socket.tell({
      jobs: [aJob('elastic', { least: 1, finished: true })]
    });
    expect(can('elastic')).toBe(false);
  });

  it('show what the server says against it, as text', async () => {
    const message = 'one is <b>gone</b>';
    server.answer = () =>
      new Response(JSON.stringify({ message }), { status: 404 });
    const done = commands.execute(CommandIDs.rerunJob, { name: 'one' });
    await waitForDialog();
    expect(document.querySelector('.jp-Dialog-body')?.textContent).toContain(
      message
    );
    await acceptDialog();
    await done;
  });
});

describe('why a job is as it is', () => {
  it('is asked of the server and said sentence by sentence, as text', async () => {
    const why = [
      'It <b>waits</b>.',
      'Traceback:\n  <i>1</i>',
      'Look at job/one.'
    ];
    server.answer = () => new Response(JSON.stringify({ why }));
    const done = commands.execute(CommandIDs.whyJob, { name: 'one' });
    await waitForDialog();
    const sentences = document.querySelectorAll('.jp-KubeWhy > *');
    expect([...sentences].map(e => [e.tagName, e.textContent])).toEqual([
      ['P', why[0]],
      ['PRE', why[1]],
      ['P', why[2]]
    ]);
    await acceptDialog();
    await done;
    expect(asked()).toEqual(['GET /lab-test/jupyter-kube/jobs/one/why']);
  });
});

describe('kernels', () => {
  it('are interrupted through Jupyter, if this server has them', async () => {
    const can = (id: string): boolean =>
      commands.isEnabled(CommandIDs.interruptKernel, { id });
    expect([can('here'), can('elsewhere')]).toEqual([true, false]);
    server.answer = () => new Response(null, { status: 204 });
    await commands.execute(CommandIDs.interruptKernel, { id: 'here' });
    expect(asked()).toEqual(['POST /lab-test/api/kernels/here/interrupt']);
  });

  it.each([
    ['here', 'session s1'],
    ['bare', 'kernel bare']
  ])('are stopped after consent: %s', async (id, what) => {
    const done = commands.execute(CommandIDs.stopKernel, { id });
    await acceptDialog();
    await done;
    expect(ended).toEqual([what]);
  });

  it('are stopped by our own API if another server has them', async () => {
    server.answer = () => new Response(null, { status: 204 });
    const done = commands.execute(CommandIDs.stopKernel, { id: 'elsewhere' });
    await acceptDialog();
    await done;
    expect(ended).toEqual([]);
    expect(asked()).toEqual([
      'DELETE /lab-test/jupyter-kube/kernels/elsewhere'
    ]);
    const can = (id: string): boolean =>
      commands.isEnabled(CommandIDs.stopKernel, { id });
    expect([can('elsewhere'), can('unknown')]).toEqual([true, false]);
  });

  it('are not stopped or restarted without', async () => {
    for (const command of [CommandIDs.stopKernel, CommandIDs.restartKernel]) {
      const done = commands.execute(command, { id: 'here' });
      await dismissDialog();
      await done;
    }
    expect([...ended, ...asked()]).toEqual([]);
  });

  it('lead to their notebook as it is called now, else as it was', async () => {
    const opened: unknown[] = [];
    commands.addCommand('docmanager:open', {
      describedBy: { args: {} },
      execute: ({ path }) => opened.push(path)
    });
    await commands.execute(CommandIDs.openNotebook, { id: 'here' });
    await commands.execute(CommandIDs.openNotebook, { id: 'bare' });
    expect(opened).toEqual(['new/name.ipynb', 'work/bare.ipynb']);
  });

  it('start with a new notebook on a profile, where the user is', async () => {
    const created: unknown[] = [];
    commands.addCommand('notebook:create-new', {
      describedBy: { args: {} },
      execute: args => created.push(args)
    });
    await commands.execute(CommandIDs.startKernel, { profile: 'gpu' });
    expect(created).toEqual([{ cwd: 'folder', kernelName: 'kube-gpu' }]);
  });

  it('are offered by the profiles that there are', async () => {
    const profiles = [{ name: 'gpu', display_name: 'Python, 1 <GPU>' }];
    server.answer = () => new Response(JSON.stringify({ profiles, wrong: {} }));
    await commands.execute(CommandIDs.chooseProfile, { x: 1, y: 2 });
    const entries = document.querySelectorAll('.lm-Menu-itemLabel');
    expect([...entries].map(e => e.textContent)).toEqual(['Python, 1 <GPU>']);
  });
});
