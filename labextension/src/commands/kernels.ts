import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { Session, ServiceManager } from '@jupyterlab/services';
import { KernelAPI } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { find } from '@lumino/algorithm';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { Menu } from '@lumino/widgets';

import { getProfiles, stopKernel } from '../api';
import { CommandIDs } from '../tokens';
import type { IClusterModel, Kernel } from '../tokens';
import { failing } from './failing';
import { describeKernel, describeText, textArgument } from './arguments';

/** The kernelspec of a profile. */
export const specOf = (profile: string): string => `kube-${profile}`;

/** What may be done with kernels; through Jupyter's own API, if this server has them. */
export function addKernelCommands(
  app: JupyterFrontEnd,
  model: IClusterModel,
  trans: TranslationBundle,
  folder: () => string
): void {
  const { commands, serviceManager } = app;
  const settings = serviceManager.serverSettings;
  const menu = new Menu({ commands });
  app.shell.disposed.connect(() => menu.dispose());
  const kernelOf = (args: ReadonlyPartialJSONObject): Kernel | undefined =>
    model.kernels.get(textArgument(args, 'id'));
  // What another server started is known to the cluster, but not to this server's API.
  const isHere = (args: ReadonlyPartialJSONObject): boolean =>
    (kernelOf(args)?.execution_state ?? null) !== null;

  commands.addCommand(CommandIDs.startKernel, {
    label: args =>
      textArgument(args, 'title') ||
      trans.__('New notebook on %1', textArgument(args, 'profile')),
    caption: trans.__('Open a new notebook whose kernel is a pod'),
    describedBy: describeText('profile', trans.__('The profile')),
    execute: args =>
      commands.execute('notebook:create-new', {
        cwd: folder(),
        kernelName: specOf(textArgument(args, 'profile'))
      })
  });

  commands.addCommand(CommandIDs.chooseProfile, {
    label: trans.__('Start…'),
    caption: trans.__('Choose a profile for a new notebook'),
    describedBy: {
      args: {
        type: 'object',
        properties: { x: { type: 'number' }, y: { type: 'number' } }
      }
    },
    isEnabled: () => model.connection === 'live',
    execute: async args => {
      const told = await failing(trans.__('There are no profiles'), () =>
        getProfiles(settings)
      );
      menu.clearItems();
      for (const { name, display_name } of told?.profiles ?? []) {
        menu.addItem({
          command: CommandIDs.startKernel,
          args: { profile: name, title: display_name }
        });
      }
      if (menu.items.length) {
        menu.open(Number(args.x ?? 0), Number(args.y ?? 0));
      }
    }
  });

  commands.addCommand(CommandIDs.interruptKernel, {
    label: trans.__('Interrupt'),
    describedBy: describeKernel(trans),
    isEnabled: isHere,
    execute: args =>
      failing(trans.__('The kernel is not interrupted'), () =>
        KernelAPI.interruptKernel(textArgument(args, 'id'), settings)
      )
  });

  commands.addCommand(CommandIDs.restartKernel, {
    label: trans.__('Restart…'),
    describedBy: describeKernel(trans),
    isEnabled: isHere,
    execute: async args => {
      const kernel = kernelOf(args);
      if (kernel && (await consent('restart', kernel, trans))) {
        await failing(trans.__('The kernel is not restarted'), () =>
          KernelAPI.restartKernel(kernel.id, settings)
        );
      }
    }
  });

  commands.addCommand(CommandIDs.stopKernel, {
    label: trans.__('Stop…'),
    describedBy: describeKernel(trans),
    isEnabled: args => kernelOf(args) !== undefined,
    execute: async args => {
      const kernel = kernelOf(args);
      if (kernel && (await consent('stop', kernel, trans))) {
        await failing(trans.__('The kernel is not stopped'), () =>
          isHere(args)
            ? stop(kernel.id, serviceManager)
            : stopKernel(settings, kernel.id)
        );
      }
    }
  });

  commands.addCommand(CommandIDs.openNotebook, {
    label: trans.__('Open notebook'),
    describedBy: describeKernel(trans),
    isEnabled: args => !!notebookOf(kernelOf(args), serviceManager),
    execute: args => {
      const path = notebookOf(kernelOf(args), serviceManager);
      return path ? commands.execute('docmanager:open', { path }) : undefined;
    }
  });
}

async function consent(
  what: 'restart' | 'stop',
  kernel: Kernel,
  trans: TranslationBundle
): Promise<boolean> {
  const [title, button] =
    what === 'stop'
      ? [trans.__('Stop this kernel?'), trans.__('Stop')]
      : [trans.__('Restart this kernel?'), trans.__('Restart')];
  const name = kernel.notebook || kernel.pod;
  const { accept } = (
    await showDialog({
      title,
      body:
        kernel.execution_state === null
          ? trans.__(
              '%1, of another server: all its variables will be lost.',
              name
            )
          : trans.__('%1: all its variables will be lost.', name),
      buttons: [
        Dialog.cancelButton(),
        Dialog.warnButton({ label: button, ariaLabel: title })
      ]
    })
  ).button;
  return accept;
}

/** End a kernel; with its session, where it has one, so that its notebook knows. */
async function stop(
  id: string,
  services: ServiceManager.IManager
): Promise<void> {
  const session = sessionOf(id, services);
  await (session
    ? services.sessions.shutdown(session.id)
    : services.kernels.shutdown(id));
}

function sessionOf(
  id: string,
  services: ServiceManager.IManager
): Session.IModel | undefined {
  return find(services.sessions.running(), each => each.kernel?.id === id);
}

/** The notebook as it is called now, or else as it was when the kernel started. */
function notebookOf(
  kernel: Kernel | undefined,
  services: ServiceManager.IManager
): string | undefined {
  return kernel && (sessionOf(kernel.id, services)?.path ?? kernel.notebook);
}
