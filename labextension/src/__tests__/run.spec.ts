import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Notification, SessionContext } from '@jupyterlab/apputils';
import type { ISessionContextDialogs } from '@jupyterlab/apputils';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { NotebookModel, runCell, setCellExecutor } from '@jupyterlab/notebook';
import type { Notebook } from '@jupyterlab/notebook';
import { NBTestUtils } from '@jupyterlab/notebook/lib/testutils';
import {
  DEFAULT_NAME,
  KernelSpecManagerMock,
  MockShellFuture,
  SessionManagerMock
} from '@jupyterlab/services/lib/testutils';
import { acceptDialog, waitForDialog } from '@jupyterlab/testing';
import { CommandRegistry } from '@lumino/commands';
import { PromiseDelegate } from '@lumino/coreutils';
import { Signal } from '@lumino/signaling';

import run from '../run';
import { CommandIDs } from '../tokens';
import { FakeServer } from './server';

const LOAD = expect.stringContaining('load_extension("jupyter_kube")');

let server: FakeServer;
let notebook: Notebook;
let context: SessionContext;
let commands: CommandRegistry;
/** Ids of what was brought to the front. */
let front: string[];
/** How often a kernel was asked for. */
let selections: number;

setCellExecutor(Object.freeze({ runCell })); // as JupyterLab does

beforeEach(async () => {
  server = new FakeServer();
  server.answer = profiles;
  notebook = NBTestUtils.createNotebook();
  notebook.model = new NotebookModel();
  const cells = notebook.model.sharedModel;
  cells.insertCells(
    0,
    ['a', 'b', 'c'].map(source => ({ cell_type: 'code', source }))
  );
  cells.deleteCell(3); // the one that a new notebook has
  context = new SessionContext({
    kernelManager: undefined as never,
    sessionManager: new SessionManagerMock(),
    specsManager: new KernelSpecManagerMock(),
    path: 'story.ipynb',
    kernelPreference: { name: DEFAULT_NAME }
  });
  await context.initialize();
  const panel = {
    id: 'story',
    content: notebook,
    model: notebook.model,
    sessionContext: context,
    isDisposed: false
  } as unknown as NotebookPanel;
  const tracker = {
    currentWidget: panel,
    activeCellChanged: new Signal({})
  } as unknown as INotebookTracker;
  commands = new CommandRegistry();
  front = [];
  selections = 0;
  const app = {
    commands,
    shell: { activateById: (id: string) => front.push(id) },
    serviceManager: { serverSettings: server.settings }
  } as unknown as JupyterFrontEnd;
  const dialogs = {
    selectKernel: async () => {
      selections++;
    }
  } as unknown as ISessionContextDialogs;
  void run.activate(app, tracker, null, dialogs, null);
  notebook.activeCellIndex = 1;
});

afterEach(() => {
  notebook.dispose();
  context.dispose();
  Notification.dismiss();
});

const profiles = () => new Response('{"profiles": [], "wrong": {}}');

/** What the kernel was asked to run. */
const asked = () =>
  jest
    .mocked(context.session!.kernel!.requestExecute)
    .mock.calls.map(([{ code }]) => code);

const sources = () =>
  notebook.widgets.map(cell => cell.model.sharedModel.source);

const notices = () =>
  Notification.manager.notifications.map(each => each.message);

it('runs the cell it asked about, and none that is selected with it', async () => {
  notebook.select(notebook.widgets[0]);
  const done = commands.execute(CommandIDs.runCell);
  await acceptDialog();
  await done;
  expect(asked()).toEqual([LOAD, '%%kubetrain -w 1\nb']);
  expect(sources()).toEqual(['a', '%%kubetrain -w 1\nb', 'c']);
});

describe('while the profiles are asked for', () => {
  let answer: PromiseDelegate<Response>;
  let done: Promise<void>;

  beforeEach(() => {
    answer = new PromiseDelegate<Response>();
    server.answer = ({ url }) =>
      url.includes('/profiles') ? answer.promise : profiles();
    done = commands.execute(CommandIDs.runCell);
  });

  it('another cell may be chosen, and is not the one that is run', async () => {
    notebook.activeCellIndex = 2;
    answer.resolve(profiles());
    await waitForDialog();
    expect(notebook.activeCellIndex).toBe(1); // "this cell" is the one to be seen
    expect(front).toEqual(['story']);
    notebook.activeCellIndex = 0;
    await acceptDialog();
    await done;
    expect(asked()).toEqual([LOAD, '%%kubetrain -w 1\nb']);
    expect(sources()).toEqual(['a', '%%kubetrain -w 1\nb', 'c']);
  });

  it('the cell may be moved', async () => {
    notebook.model!.sharedModel.moveCell(1, 0);
    answer.resolve(profiles());
    await acceptDialog();
    await done;
    expect(asked()).toEqual([LOAD, '%%kubetrain -w 1\nb']);
    expect(sources()).toEqual(['%%kubetrain -w 1\nb', 'a', 'c']);
  });

  it('the cell may be deleted: nothing is run', async () => {
    notebook.model!.sharedModel.deleteCell(1);
    answer.resolve(profiles());
    await done;
    expect(asked()).toEqual([]);
    expect(sources()).toEqual(['a', 'c']);
    expect(notices()).toEqual([
      'Nothing was run: the cell is not there any more.'
    ]);
  });
});

it('starts a kernel where there is none, and loads the magics into it', async () => {
  await context.shutdown();
  expect(context.hasNoKernel).toBe(true);
  const done = commands.execute(CommandIDs.runCell);
  await acceptDialog();
  await done;
  expect(asked()).toEqual([LOAD, '%%kubetrain -w 1\nb']);
  expect(selections).toBe(0);
});

it('runs nothing where the user wants no kernel', async () => {
  await context.shutdown();
  context.kernelPreference = { shouldStart: false };
  const done = commands.execute(CommandIDs.runCell);
  await acceptDialog();
  await done;
  expect(selections).toBe(1);
  expect(sources()).toEqual(['a', 'b', 'c']);
  expect(notices()).toEqual(['Nothing was run: the notebook has no kernel.']);
});

it('says what to do where the kernel has no jupyter_kube, naming no package index', async () => {
  const refusal = { status: 'error', evalue: "No module named 'jupyter_kube'" };
  jest
    .mocked(context.session!.kernel!.requestExecute)
    .mockReturnValueOnce(
      new MockShellFuture({ content: refusal } as never) as never
    );
  const done = commands.execute(CommandIDs.runCell);
  await acceptDialog();
  await done;
  const [notice] = notices();
  expect(notice).toContain("No module named 'jupyter_kube'");
  expect(notice).toContain("in the kernel's environment");
  expect(notice).not.toContain('pip');
});
