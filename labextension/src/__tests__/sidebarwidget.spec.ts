import { framePromise } from '@jupyterlab/testing';
import { CommandRegistry } from '@lumino/commands';
import { MessageLoop } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';
import { act } from '@testing-library/react';

import { ClusterModel } from '../model';
import { Sidebar } from '../sidebar/sidebar';
import { CommandIDs } from '../tokens';
import type { Live } from '../tokens';
import { FakeServer } from './server';
import { aJob, trans } from './things';

let server: FakeServer;
let model: ClusterModel;
let sidebar: Sidebar;

beforeEach(async () => {
  server = new FakeServer();
  model = new ClusterModel(server.settings);
  const commands = new CommandRegistry();
  commands.addCommand(CommandIDs.chooseProfile, {
    describedBy: { args: {} },
    isEnabled: () => model.connection === 'live',
    execute: () => undefined
  });
  const settings = { finishedJobs: true };
  sidebar = new Sidebar({ model, commands, trans, settings });
  act(() => Widget.attach(sidebar, document.body));
  await drawn();
});

afterEach(() => {
  act(() => sidebar.dispose());
  model.dispose();
});

/** Let what was asked to be drawn be drawn. */
async function drawn(): Promise<void> {
  await act(async () => {
    MessageLoop.flush();
    await framePromise();
  });
}

async function tell(told: Live): Promise<void> {
  act(() => server.socket.tell(told));
  await drawn();
}

const rows = (): (string | null)[] =>
  [...sidebar.node.querySelectorAll('.jp-KubeList-row')].map(
    row => row.textContent
  );
const button = (): HTMLButtonElement =>
  sidebar.node.querySelector('.jp-KubeNew')!;

it('follows the live view while it is to be seen', async () => {
  expect(button().disabled).toBe(true);
  await tell({ cluster: { state: 'up' }, jobs: [aJob('one')] });
  expect(rows()).toEqual([expect.stringContaining('one')]);
  expect(button().disabled).toBe(false);
});

it('rests while it is hidden, and is up to date when it comes back', async () => {
  await tell({ cluster: { state: 'up' }, jobs: [aJob('one')] });
  sidebar.hide();
  await drawn();
  await tell({ jobs: [aJob('two')] });
  expect(rows().length).toBe(1);
  sidebar.show();
  await drawn();
  expect(rows().length).toBe(2);
});

it('takes what the user has set', async () => {
  const jobs = [aJob('one'), aJob('two', { finished: true })];
  await tell({ cluster: { state: 'up' }, jobs });
  sidebar.settings = { finishedJobs: false };
  await drawn();
  expect(rows()).toEqual([expect.stringContaining('one')]);
});

it('tells aloud what has changed', async () => {
  await tell({ cluster: { state: 'up' }, jobs: [aJob('one')] });
  await tell({ jobs: [aJob('one', { phase: 'failed' })] });
  const news = sidebar.node.querySelector('.jp-KubeNews[role="status"]');
  expect(news?.textContent).toBe('Job one: failed');
});
