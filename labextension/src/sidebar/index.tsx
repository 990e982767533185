import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { kubeIcon } from '../icons';
import { CommandIDs, DOMAIN, IClusterModel } from '../tokens';
import { Sidebar } from './sidebar';

const ID = 'jupyter-kube-sidebar';

/** The sidebar: the cluster, its GPUs, my kernels and my jobs. */
const plugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-kube:sidebar',
  description:
    'A sidebar with the cluster, and the kernels and jobs of the user.',
  autoStart: true,
  requires: [IClusterModel],
  optional: [ITranslator, ICommandPalette, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    model: IClusterModel,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null
  ) => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const sidebar = new Sidebar({ model, commands: app.commands, trans });
    sidebar.id = ID;
    sidebar.title.icon = kubeIcon;
    sidebar.title.caption = trans.__('Kubernetes: kernels and jobs');
    app.shell.add(sidebar, 'left', { rank: 600, type: 'Kubernetes' });
    restorer?.add(sidebar, ID);

    app.commands.addCommand(CommandIDs.showSidebar, {
      label: trans.__('Show Kernels and Jobs on Kubernetes'),
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => app.shell.activateById(ID)
    });
    palette?.addItem({
      command: CommandIDs.showSidebar,
      category: trans.__('Kubernetes')
    });
  }
};

export default plugin;
