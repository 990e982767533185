import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';

import { ClusterModel } from './model';
import { IClusterModel } from './tokens';

/** One live view for all plugins. */
const plugin: JupyterFrontEndPlugin<IClusterModel> = {
  id: 'jupyter-kube:live',
  description: 'What the server tells of the cluster, kernels and jobs.',
  autoStart: true,
  provides: IClusterModel,
  activate: (app: JupyterFrontEnd): IClusterModel =>
    new ClusterModel(app.serviceManager.serverSettings)
};

export default plugin;
