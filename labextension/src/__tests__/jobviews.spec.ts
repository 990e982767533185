import { JupyterFrontEnd, LabShell } from '@jupyterlab/application';
import type { ILabShell, LayoutRestorer } from '@jupyterlab/application';
import { CommandRegistry } from '@lumino/commands';
import { TabPanel } from '@lumino/widgets';
import type { Widget } from '@lumino/widgets';

import plugin from '../job';
import { CommandIDs } from '../tokens';
import type { IJobViews } from '../tokens';
import { FakeServer } from './server';

/** As Notebook's shell: one widget in its main area, tabs below it, and nobody who chooses one. */
class NotebookShell {
  readonly down = new TabPanel();

  add(widget: Widget, area: string): void {
    if (area === 'down') {
      this.down.addWidget(widget);
    }
  }

  activateById(): void {}
}

let commands: CommandRegistry;

beforeEach(() => {
  global.ResizeObserver = class {
    observe(): void {}
    disconnect(): void {}
    unobserve(): void {}
  };
  commands = new CommandRegistry();
});

function begin(shell: object, lab: ILabShell | null): IJobViews {
  const serviceManager = { serverSettings: new FakeServer().settings };
  const app = { commands, shell, serviceManager };
  return plugin.activate(
    app as unknown as JupyterFrontEnd,
    lab,
    null,
    null
  ) as IJobViews;
}

const open = (name: string): Promise<void> =>
  commands.execute(CommandIDs.openJob, { name });

it('jobs open beside the notebook in JupyterLab', async () => {
  const shell = new LabShell();
  const nothing = { fetch: async () => ({ mainArea: null }) };
  await shell.restoreLayout(
    'multiple-document',
    nothing as unknown as LayoutRestorer
  );
  begin(shell, shell);
  await open('one');
  await open('two');
  expect([...shell.widgets('main')].map(({ id }) => id)).toEqual([
    'jupyter-kube-job-one',
    'jupyter-kube-job-two'
  ]);
  shell.dispose();
});

it('jobs open below the notebook in Notebook, the asked one in front', async () => {
  const shell = new NotebookShell();
  begin(shell, null);
  const front = () => shell.down.currentWidget?.id;
  await open('one');
  expect(front()).toBe('jupyter-kube-job-one');
  await open('two');
  expect(front()).toBe('jupyter-kube-job-two');
  await open('one');
  expect(front()).toBe('jupyter-kube-job-one');
  expect(shell.down.widgets).toHaveLength(2);
  shell.down.dispose();
});
