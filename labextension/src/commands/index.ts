import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { CommandIDs, DOMAIN, IClusterModel, SETTINGS } from '../tokens';
import { addJobCommands } from './jobs';
import { addKernelCommands } from './kernels';

/** What buttons, menus and the palette do. */
const plugin: JupyterFrontEndPlugin<void> = {
  id: SETTINGS,
  description: 'Commands for kernels and jobs on Kubernetes.',
  autoStart: true,
  requires: [IClusterModel],
  optional: [ITranslator, ICommandPalette, IDefaultFileBrowser],
  activate: (
    app: JupyterFrontEnd,
    model: IClusterModel,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    browser: IDefaultFileBrowser | null
  ) => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    addKernelCommands(app, model, trans, () => browser?.model.path ?? '');
    addJobCommands(app, model, trans);
    app.commands.addCommand(CommandIDs.reconnect, {
      label: trans.__('Reconnect the Live View of the Cluster'),
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => model.reconnect()
    });
    palette?.addItem({
      command: CommandIDs.reconnect,
      category: trans.__('Kubernetes')
    });
  }
};

export default plugin;
