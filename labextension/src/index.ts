import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import commands from './commands';
import model from './live';
import job from './job';
import notifications from './notify';
import profile from './profile';
import run from './run';
import sidebar from './sidebar';
import startup from './startup';

const plugins: JupyterFrontEndPlugin<unknown>[] = [
  model,
  commands,
  sidebar,
  run,
  profile,
  job,
  notifications,
  startup
];

export default plugins;
