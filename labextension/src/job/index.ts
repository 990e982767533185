/**
 * Tabs with jobs: opened by a command, and again after the page was loaded anew.
 */
import {
  ILabShell,
  ILayoutRestorer,
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import {
  ITranslator,
  TranslationBundle,
  nullTranslator
} from '@jupyterlab/translation';
import { UUID } from '@lumino/coreutils';
import { TabPanel } from '@lumino/widgets';

import { getWhy, rerunJob, scaleJob } from '../api';
import { describeJob, textArgument } from '../commands/arguments';
import { kubeIcon } from '../icons';
import { CommandIDs, DOMAIN, IJobViews } from '../tokens';
import type { IActions } from './actions';
import { JobModel } from './model';
import { JobView } from './view';

const plugin: JupyterFrontEndPlugin<IJobViews> = {
  id: 'jupyter-kube:job',
  description: 'Shows a job: its ranks, curves and lines.',
  autoStart: true,
  provides: IJobViews,
  optional: [ILabShell, ILayoutRestorer, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    lab: ILabShell | null,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const tracker = new WidgetTracker<MainAreaWidget<JobView>>({
      namespace: 'jupyter-kube-jobs'
    });
    app.commands.addCommand(CommandIDs.openJob, {
      label: trans.__('Open Job'),
      describedBy: describeJob(trans),
      execute: async args => {
        const name = textArgument(args, 'name');
        let view = tracker.find(each => each.content.model.name === name);
        if (!view) {
          view = made(app, name, trans);
          // In Notebook a page is one document: its shell takes nothing else into the main area.
          app.shell.add(view, lab ? 'main' : 'down');
          await tracker.add(view);
        }
        putInFront(view);
        app.shell.activateById(view.id);
      }
    });
    if (restorer) {
      void restorer.restore(tracker, {
        command: CommandIDs.openJob,
        args: ({ content }) => ({ name: content.model.name }),
        name: ({ content }) => content.model.name
      });
    }
    return {
      isVisible: name =>
        tracker.find(each => each.content.model.name === name)?.isVisible ??
        false
    };
  }
};

export default plugin;

/** Choose a view among those below the notebook, which Notebook's shell leaves to others. */
function putInFront(view: MainAreaWidget<JobView>): void {
  const tabs = view.parent?.parent;
  if (tabs instanceof TabPanel) {
    tabs.currentWidget = view;
  }
}

function made(
  app: JupyterFrontEnd,
  name: string,
  trans: TranslationBundle
): MainAreaWidget<JobView> {
  const settings = app.serviceManager.serverSettings;
  const model = new JobModel({
    name,
    settings,
    schedule: tell => void requestAnimationFrame(tell)
  });
  const view = new MainAreaWidget({
    content: new JobView(model, actionsOf(app), trans)
  });
  view.id = `jupyter-kube-job-${name}`;
  view.title.label = name;
  view.title.caption = trans.__('Job %1', name);
  view.title.icon = kubeIcon;
  view.title.closable = true;
  return view;
}

function actionsOf({ commands, serviceManager }: JupyterFrontEnd): IActions {
  const settings = serviceManager.serverSettings;
  return {
    scale: (name, workers) => scaleJob(settings, name, workers),
    kill: name => commands.execute(CommandIDs.killJob, { name }),
    rerun: async name => {
      const again = await rerunJob(settings, name, UUID.uuid4());
      await commands.execute(CommandIDs.openJob, { name: again.name });
    },
    why: async name => (await getWhy(settings, name)).why
  };
}
