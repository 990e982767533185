import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import commands from './commands';
import model from './live';
import sidebar from './sidebar';

const plugins: JupyterFrontEndPlugin<unknown>[] = [model, commands, sidebar];

export default plugins;
