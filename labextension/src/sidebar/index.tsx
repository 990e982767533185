import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { kubeIcon } from '../icons';
import { CommandIDs, DOMAIN, IClusterModel, SETTINGS } from '../tokens';
import { Sidebar } from './sidebar';

const ID = 'jupyter-kube-sidebar';

/** The sidebar: the cluster, its GPUs, my kernels and my jobs. */
const plugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-kube:sidebar',
  description:
    'A sidebar with the cluster, and the kernels and jobs of the user.',
  autoStart: true,
  requires: [IClusterModel],
  optional: [ITranslator, ICommandPalette, ILayoutRestorer, ISettingRegistry],
  activate: (
    app: JupyterFrontEnd,
    model: IClusterModel,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    registry: ISettingRegistry | null
  ) => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const sidebar = new Sidebar({
      model,
      commands: app.commands,
      trans,
      settings: { finishedJobs: true }
    });
    sidebar.id = ID;
    sidebar.title.icon = kubeIcon;
    sidebar.title.caption = trans.__('Kubernetes: kernels and jobs');
    app.shell.add(sidebar, 'left', { rank: 600, type: 'Kubernetes' });
    restorer?.add(sidebar, ID);

    void follow(registry, sidebar);

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

/** Keep to what the user has set; the defaults stay where there are no settings. */
async function follow(
  registry: ISettingRegistry | null,
  sidebar: Sidebar
): Promise<void> {
  const settings = await registry?.load(SETTINGS);
  const take = (): void => {
    sidebar.settings = {
      finishedJobs: settings?.get('finishedJobs').composite !== false
    };
  };
  settings?.changed.connect(take);
  take();
}

export default plugin;
