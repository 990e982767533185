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
  Notification,
  showErrorMessage
} from '@jupyterlab/apputils';
import type { ICellModel } from '@jupyterlab/cells';
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
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
import { parse, putAbove, takeApart } from './line';
import type { ITrainOptions } from './options';
import { recall, remember } from './remember';

/** Done in the kernel before the cell; once the extension is loaded, it does nothing. */
const LOAD = 'get_ipython().extension_manager.load_extension("jupyter_kube")';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-kube:run',
  description: 'Runs a cell on the cluster, from its toolbar.',
  autoStart: true,
  requires: [INotebookTracker],
  optional: [ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    palette: ICommandPalette | null,
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
        tracker.currentWidget && runOnCluster(app, tracker.currentWidget, trans)
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

/** Ask how, write it into the active cell, and run that. */
async function runOnCluster(
  app: JupyterFrontEnd,
  panel: NotebookPanel,
  trans: TranslationBundle
): Promise<void> {
  const cell = panel.content.activeCell?.model;
  if (cell?.type !== 'code') {
    return;
  }
  const { magic } = takeApart(cell.sharedModel.source);
  if (magic) {
    const title = trans.__('This cell cannot run on the cluster');
    await showErrorMessage(
      title,
      trans.__('It begins with %1, and a cell has one such line.', magic)
    );
    return;
  }
  const settings = app.serviceManager.serverSettings;
  const options = await ask({
    title: trans.__('Run this cell on the cluster'),
    body: new RunForm({
      ...(await known(panel, cell, settings, trans)),
      fit: asked => getFit(settings, asked),
      trans
    }),
    buttons: [
      Dialog.cancelButton(),
      Dialog.okButton({ label: trans.__('Run') })
    ]
  });
  if (options && !panel.isDisposed) {
    note(panel, cell, options);
    load(panel, trans);
    panel.content.deselectAll(); // or else what is selected with the cell runs, too
    await app.commands.execute('notebook:run-cell');
  }
}

/** What the form begins with: the cell's own line, else the notebook's last choice. */
async function known(
  panel: NotebookPanel,
  cell: ICellModel,
  settings: ServerConnection.ISettings,
  trans: TranslationBundle
): Promise<Pick<RunForm.IOptions, Known>> {
  const notices: string[] = [];
  let profiles: Profile[] = [];
  try {
    profiles = (await getProfiles(settings)).profiles;
  } catch (error) {
    notices.push((error as Error).message);
  }
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

/** Have the kernel load the magics before it comes to the cell, without a cell for that. */
function load(panel: NotebookPanel, trans: TranslationBundle): void {
  const loading = panel.sessionContext.session?.kernel?.requestExecute({
    code: LOAD,
    silent: true,
    store_history: false,
    stop_on_error: false
  });
  loading?.done.then(
    ({ content }) => {
      if (content.status === 'error') {
        Notification.error(
          trans.__(
            'This kernel cannot load jupyter_kube: %1. Install it with %pip install jupyter-kube.',
            content.evalue
          ),
          { autoClose: false }
        );
      }
    },
    () => undefined // the kernel was restarted meanwhile, and the cell says so
  );
}
