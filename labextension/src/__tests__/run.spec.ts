import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { NotebookModel } from '@jupyterlab/notebook';
import { NBTestUtils } from '@jupyterlab/notebook/lib/testutils';
import { acceptDialog } from '@jupyterlab/testing';
import { CommandRegistry } from '@lumino/commands';
import { Signal } from '@lumino/signaling';

import run from '../run';
import { CommandIDs } from '../tokens';
import { FakeServer } from './server';

it('runs the cell it asked about, and none that is selected with it', async () => {
  const server = new FakeServer();
  server.answer = () => new Response('{"profiles": [], "wrong": {}}');
  const notebook = NBTestUtils.createNotebook();
  notebook.model = new NotebookModel();
  notebook.model.sharedModel.insertCells(
    0,
    ['a', 'b', 'c'].map(source => ({ cell_type: 'code', source }))
  );
  const panel = {
    content: notebook,
    model: notebook.model,
    sessionContext: { session: null },
    isDisposed: false
  } as unknown as NotebookPanel;
  const tracker = {
    currentWidget: panel,
    activeCellChanged: new Signal({})
  } as unknown as INotebookTracker;
  const commands = new CommandRegistry();
  const ran: string[] = [];
  commands.addCommand('notebook:run-cell', {
    describedBy: { args: {} },
    execute: () =>
      ran.push(...notebook.selectedCells.map(c => c.model.sharedModel.source))
  });
  const app = {
    commands,
    serviceManager: { serverSettings: server.settings }
  } as unknown as JupyterFrontEnd;
  void run.activate(app, tracker, null, null);

  notebook.activeCellIndex = 1;
  notebook.select(notebook.widgets[0]);
  const done = commands.execute(CommandIDs.runCell);
  await acceptDialog();
  await done;
  expect(ran).toEqual(['%%kubetrain -w 1\nb']);
  notebook.dispose();
});
