/**
 * Notifications of what happened while nobody looked: jobs that ended, kernels that came up or failed.
 */
import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import {
  ITranslator,
  TranslationBundle,
  nullTranslator
} from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';

import { isOf } from './owner';
import {
  CommandIDs,
  DOMAIN,
  IChange,
  IChanges,
  IClusterModel,
  IJobViews,
  Job,
  Kernel
} from './tokens';

/** What there is to be said. */
export interface INotice {
  readonly type: 'success' | 'error' | 'info';
  readonly message: string;
  /** What opens it. */
  readonly command: string;
  readonly args: { name: string } | { id: string } | Record<string, never>;
}

/** What the user has before their eyes. */
export interface ISight {
  job(name: string): boolean;
  kernel(kernel: Kernel): boolean;
}

/** More than these at once, as after a night offline, are only counted. */
const MOST = 3;

const WAITS = ['queued', 'waiting', 'pulling'];

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-kube:notifications',
  description: 'Says what has finished, failed or come up.',
  autoStart: true,
  requires: [IClusterModel],
  optional: [IJobViews, INotebookTracker, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: IClusterModel,
    views: IJobViews | null,
    tracker: INotebookTracker | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const waited = new Set<string>();
    model.changed.connect((_, changes) => {
      const sight = sightOf(views, tracker);
      for (const notice of notices(changes, waited, sight, trans)) {
        show(notice, app.commands, trans);
      }
    });
  }
};

export default plugin;

function sightOf(
  views: IJobViews | null,
  tracker: INotebookTracker | null
): ISight {
  const looks = document.visibilityState === 'visible';
  return {
    job: name => looks && (views?.isVisible(name) ?? false),
    kernel: kernel =>
      looks &&
      !!tracker?.find(
        ({ isVisible, sessionContext, context }) =>
          isVisible &&
          isOf(kernel, sessionContext.session?.kernel?.id, context.path)
      )
  };
}

/**
 * Find what there is to be said about changes.
 *
 * What is told first is how things are, and nothing that has happened: so nothing is said again
 * after the page was loaded anew.
 *
 * @param waited - Ids of the kernels that were seen to wait; kept from one call to the next.
 */
export function notices(
  changes: IChanges,
  waited: Set<string>,
  sight: ISight,
  trans: TranslationBundle
): INotice[] {
  const kernels = changes.kernels.map(each =>
    ofKernel(each, waited, sight, trans)
  );
  const jobs = changes.jobs
    .filter(({ id }) => !sight.job(id))
    .map(each => ofJob(each, trans));
  const found = [...jobs, ...kernels].filter(each => each !== null);
  if (changes.first) {
    return [];
  }
  return found.length > MOST ? [counted(found, trans)] : found;
}

function counted(found: INotice[], trans: TranslationBundle): INotice {
  const failed = found.filter(({ type }) => type === 'error').length;
  const message = trans.__(
    '%1 jobs and kernels have ended or come up; %2 of them failed.',
    found.length,
    failed
  );
  const type = failed ? 'error' : 'info';
  return { type, message, command: CommandIDs.showSidebar, args: {} };
}

function ofJob(
  { before, now }: IChange<Job>,
  trans: TranslationBundle
): INotice | null {
  if (!before || !now || before.finished || !now.finished) {
    return null;
  }
  const about = { command: CommandIDs.openJob, args: { name: now.name } };
  if (now.phase === 'succeeded') {
    const message = trans.__('Job %1 is done.', now.name);
    return { type: 'success', message, ...about };
  }
  if (now.phase === 'failed') {
    const why = now.message ? ` ${now.message}` : '';
    const message = `${trans.__('Job %1 failed.', now.name)}${why}`;
    return { type: 'error', message, ...about };
  }
  return null; // stopped, by whoever wanted that
}

function ofKernel(
  { id, before, now }: IChange<Kernel>,
  waited: Set<string>,
  sight: ISight,
  trans: TranslationBundle
): INotice | null {
  if (!now) {
    waited.delete(id);
    return null;
  }
  if (WAITS.includes(now.phase)) {
    waited.add(id);
    return null;
  }
  if (now.phase === 'starting') {
    return null;
  }
  const about = { command: CommandIDs.openNotebook, args: { id } };
  const title = now.notebook || now.profile;
  const hasWaited = waited.delete(id);
  if (now.phase === 'running') {
    if (!hasWaited || sight.kernel(now)) {
      return null;
    }
    const message = trans.__('The kernel of %1 is ready.', title);
    return { type: 'info', message, ...about };
  }
  if (before && hasFailed(now) && !hasFailed(before)) {
    const why = now.message ? ` ${now.message}` : '';
    const message = `${trans.__('The kernel of %1 failed.', title)}${why}`;
    return { type: 'error', message, ...about };
  }
  return null;
}

/** Whether a kernel came to a bad end: not so one that somebody deleted. */
function hasFailed({ phase, reason }: Kernel): boolean {
  return phase === 'failed' || (phase === 'gone' && reason !== 'Deleted');
}

function show(
  { type, message, command, args }: INotice,
  commands: CommandRegistry,
  trans: TranslationBundle
): void {
  Notification.emit(message, type, {
    autoClose: type === 'error' ? false : 10_000,
    actions: [
      {
        label: trans.__('Open'),
        caption: message,
        callback: () => void commands.execute(command, args)
      }
    ]
  });
}
