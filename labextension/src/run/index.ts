/**
 * *Run on cluster*: a form, its choice as a line `%%kubetrain …` in the cell, and the cell is run.
 */
import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import {
  Dialog,
  ICommandPalette,
  ISessionContextDialogs,
  Notification,
  showErrorMessage
} from '@jupyterlab/apputils';
import type { Cell, ICellModel } from '@jupyterlab/cells';
import {
  INotebookTracker,
  NotebookActions,
  NotebookPanel
} from '@jupyterlab/notebook';
import type { ServerConnection } from '@jupyterlab/services';
import {
  ITranslator,
  TranslationBundle,
  nullTranslator
} from '@jupyterlab/translation';

import { getFit, getProfiles } from '../api';
import { NO_ARGUMENTS } from '../commands/arguments';
import { ask } from '../dialog';
import { kubeIcon } from '../icons';
import { KEY, profileOf } from '../profile/choice';
import { CommandIDs, DOMAIN, Profile } from '../tokens';
import { RunForm } from './form';
import { kernelOf, load } from './kernel';
import { parse, putAbove, takeApart } from './line';
import type { ITrainOptions } from './options';
import { recall, remember } from './remember';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-kube:run',
  description: 'Runs a cell on the cluster, from its toolbar.',
  autoStart: true,
  requires: [INotebookTracker],
  optional: [ICommandPalette, ISessionContextDialogs, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    palette: ICommandPalette | null,
    dialogs: ISessionContextDialogs | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    app.commands.addCommand(CommandIDs.runCell, {
      label: trans.__('Run Cell on Cluster…'),
      caption: trans.__('Run this cell on workers in the cluster'),
      describedBy: NO_ARGUMENTS,
      icon: args => (args.toolbar ? kubeIcon : undefined),
      isEnabled: () => tracker.activeCell?.model.type === 'code',
      execute: () =>
        tracker.currentWidget &&
        runOnCluster(app, tracker.currentWidget, dialogs, trans)
    });
    tracker.activeCellChanged.connect(() =>
      app.commands.notifyCommandChanged(CommandIDs.runCell)
    );
    palette?.addItem({
      command: CommandIDs.runCell,
      category: trans.__('Kubernetes')
    });
  }
};

export default plugin;

/**
 * Ask how, write it into the active cell, and run that cell.
 *
 * Whatever is waited for, the user may choose another cell or notebook meanwhile: so the cell is
 * looked up by its id, which it keeps when it is moved, and it alone is run.
 */
async function runOnCluster(
  app: JupyterFrontEnd,
  panel: NotebookPanel,
  dialogs: ISessionContextDialogs | null,
  trans: TranslationBundle
): Promise<void> {
  const active = panel.content.activeCell;
  if (active?.model.type !== 'code') {
    return;
  }
  const { id, sharedModel } = active.model;
  const { magic } = takeApart(sharedModel.source);
  if (magic) {
    const title = trans.__('This cell cannot run on the cluster');
    await showErrorMessage(
      title,
      trans.__('It begins with %1, and a cell has one such line.', magic)
    );
    return;
  }
  const settings = app.serviceManager.serverSettings;
  const offer = await offered(settings);
  const shown = find(panel, id);
  if (!shown) {
    return giveUp(trans.__('the cell is not there any more'), trans);
  }
  show(app, panel, shown);
  const options = await ask({
    title: trans.__('Run this cell on the cluster'),
    body: new RunForm({
      ...known(panel, shown.model, offer, trans),
      fit: asked => getFit(settings, asked),
      trans
    }),
    buttons: [
      Dialog.cancelButton(),
      Dialog.okButton({ label: trans.__('Run') })
    ]
  });
  if (!options) {
    return;
  }
  const { content, sessionContext } = panel;
  const kernel = await kernelOf(sessionContext, dialogs);
  const cell = find(panel, id);
  if (!cell) {
    return giveUp(trans.__('the cell is not there any more'), trans);
  }
  if (!kernel) {
    return giveUp(trans.__('the notebook has no kernel'), trans);
  }
  note(panel, cell.model, options);
  load(kernel, trans);
  await NotebookActions.runCells(
    content,
    [cell],
    sessionContext,
    dialogs ?? undefined
  );
}

/** Find a code cell, if it still is one. */
function find(panel: NotebookPanel, id: string): Cell | undefined {
  return panel.isDisposed
    ? undefined
    : panel.content.widgets.find(
        ({ model }) => model.id === id && model.type === 'code'
      );
}

/** Have the cell before the user's eyes that the form calls this one. */
function show(app: JupyterFrontEnd, panel: NotebookPanel, cell: Cell): void {
  app.shell.activateById(panel.id);
  panel.content.activeCellIndex = panel.content.widgets.indexOf(cell);
}

function giveUp(why: string, trans: TranslationBundle): void {
  Notification.warning(trans.__('Nothing was run: %1.', why));
}

interface IOffer {
  readonly profiles: readonly Profile[];
  /** Why there are none; else empty. */
  readonly problem: string;
}

/** Ask for the profiles; without them, the form still does its work. */
async function offered(settings: ServerConnection.ISettings): Promise<IOffer> {
  try {
    return { profiles: (await getProfiles(settings)).profiles, problem: '' };
  } catch (error) {
    return { profiles: [], problem: (error as Error).message };
  }
}

/** What the form begins with: the cell's own line, else the notebook's last choice. */
function known(
  panel: NotebookPanel,
  cell: ICellModel,
  { profiles, problem }: IOffer,
  trans: TranslationBundle
): Pick<RunForm.IOptions, Known> {
  const notices = problem ? [problem] : [];
  let options = recall(panel.model?.getMetadata(KEY));
  const { line } = takeApart(cell.sharedModel.source);
  try {
    options = line === null ? options : parse(line);
  } catch (error) {
    const why = (error as Error).message;
    notices.push(
      trans.__("The cell's own line cannot be read (%1); it is replaced.", why)
    );
  }
  const kernel = panel.sessionContext.session?.kernel?.name;
  return {
    options,
    profiles,
    kernelsProfile: profileOf(kernel),
    notice: notices.join(' ')
  };
}

type Known = 'options' | 'profiles' | 'kernelsProfile' | 'notice';

/** Write the line into the cell, and the choice into the notebook. */
function note(
  panel: NotebookPanel,
  cell: ICellModel,
  options: ITrainOptions
): void {
  const { sharedModel } = cell;
  sharedModel.setSource(putAbove(sharedModel.source, options));
  panel.model?.setMetadata(
    KEY,
    remember(panel.model.getMetadata(KEY), options)
  );
}
