import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, InputDialog, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { UUID } from '@lumino/coreutils';
import { Widget } from '@lumino/widgets';

import * as api from '../api';
import { CommandIDs } from '../tokens';
import type { IClusterModel, Job } from '../tokens';
import { failing } from './failing';
import { describeJob, textArgument } from './arguments';

/** What may be done with jobs; opening one is the job view's affair. */
export function addJobCommands(
  app: JupyterFrontEnd,
  model: IClusterModel,
  trans: TranslationBundle
): void {
  const { commands } = app;
  const settings = app.serviceManager.serverSettings;
  const jobOf = (args: ReadonlyPartialJSONObject): Job | undefined =>
    model.jobs.get(textArgument(args, 'name'));

  commands.addCommand(CommandIDs.scaleJob, {
    label: trans.__('Scale…'),
    caption: trans.__('Change how many workers an elastic job has at most'),
    describedBy: describeJob(trans),
    isEnabled: args => isElastic(jobOf(args)),
    execute: async args => {
      const job = jobOf(args);
      const workers = job ? await askWorkers(job, trans) : null;
      if (job && workers !== null) {
        await failing(trans.__('%1 is not scaled', job.name), () =>
          api.scaleJob(settings, job.name, workers)
        );
      }
    }
  });

  commands.addCommand(CommandIDs.whyJob, {
    label: trans.__('Why?'),
    caption: trans.__('Say what a job waits for, or why it ended'),
    describedBy: describeJob(trans),
    isEnabled: args => jobOf(args) !== undefined,
    execute: async args => {
      const name = textArgument(args, 'name');
      const title = trans.__('Why is %1 as it is?', name);
      const told = await failing(title, () => api.getWhy(settings, name));
      if (told) {
        await showDialog({
          title,
          body: paragraphs(told.why),
          buttons: [Dialog.okButton({ label: trans.__('Close') })]
        });
      }
    }
  });

  commands.addCommand(CommandIDs.killJob, {
    label: args =>
      jobOf(args)?.finished ? trans.__('Remove…') : trans.__('Kill…'),
    describedBy: describeJob(trans),
    isEnabled: args => jobOf(args) !== undefined,
    execute: async args => {
      const name = textArgument(args, 'name');
      const isOver = jobOf(args)?.finished ?? false;
      if (await consent(name, isOver, trans)) {
        await failing(trans.__('%1 is not removed', name), () =>
          api.killJob(settings, name)
        );
      }
    }
  });

  const asked = new Map<string, Promise<string | undefined>>(); // two clicks in a row are one
  const rerun = async (name: string): Promise<string | undefined> => {
    const job = await failing(trans.__('%1 is not run again', name), () =>
      api.rerunJob(settings, name, UUID.uuid4())
    );
    return job?.name;
  };
  commands.addCommand(CommandIDs.rerunJob, {
    label: trans.__('Run again'),
    caption: trans.__('Create a job that is the same as this one'),
    describedBy: describeJob(trans),
    execute: args => {
      const name = textArgument(args, 'name');
      const again = asked.get(name) ?? rerun(name);
      asked.set(name, again);
      return again.finally(() => asked.delete(name));
    }
  });
}

/** A dialog's body: each sentence for itself, as text, and what has lines with its lines. */
function paragraphs(sentences: readonly string[]): Widget {
  const node = document.createElement('div');
  node.className = 'jp-KubeWhy';
  for (const sentence of sentences) {
    const tag = sentence.includes('\n') ? 'pre' : 'p';
    node.appendChild(document.createElement(tag)).textContent = sentence;
  }
  return new Widget({ node });
}

/** Whether a job's size may change now. */
export function isElastic(job: Job | undefined): boolean {
  return !!job && job.least > 0 && !job.finished;
}

async function askWorkers(
  job: Job,
  trans: TranslationBundle
): Promise<number | null> {
  const { value } = await InputDialog.getNumber({
    title: trans.__('Scale %1', job.name),
    label: trans.__('Workers, at most (it needs %1)', job.least),
    value: job.workers,
    okLabel: trans.__('Scale')
  });
  return value;
}

async function consent(
  name: string,
  isOver: boolean,
  trans: TranslationBundle
): Promise<boolean> {
  const [title, body, label] = isOver
    ? [
        trans.__('Remove %1?', name),
        trans.__('Its logs and its result will be gone.'),
        trans.__('Remove')
      ]
    : [
        trans.__('Kill %1?', name),
        trans.__('Its workers will be stopped, and its logs will be gone.'),
        trans.__('Kill')
      ];
  const { button } = await showDialog({
    title,
    body,
    buttons: [
      Dialog.cancelButton(),
      Dialog.warnButton({ label, ariaLabel: title })
    ]
  });
  return button.accept;
}
