/**
 * *Change kernel's profile*: a form, the choice in the notebook, and a new kernel.
 */
import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import {
  Dialog,
  ICommandPalette,
  showErrorMessage
} from '@jupyterlab/apputils';
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import {
  ITranslator,
  TranslationBundle,
  nullTranslator
} from '@jupyterlab/translation';

import { getProfiles } from '../api';
import { NO_ARGUMENTS } from '../commands/arguments';
import { specOf } from '../commands/kernels';
import { ask } from '../dialog';
import { kubeIcon } from '../icons';
import { CommandIDs, DOMAIN, Profile } from '../tokens';
import { IChoice, KEY, profileOf, read, write } from './choice';
import { ProfileForm } from './form';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-kube:profile',
  description: "Changes what a notebook's kernel has: profile, GPUs, memory.",
  autoStart: true,
  requires: [INotebookTracker],
  optional: [ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    app.commands.addCommand(CommandIDs.changeProfile, {
      label: trans.__("Change Kernel's Profile…"),
      caption: trans.__('Choose other GPUs, memory or image for this kernel'),
      describedBy: NO_ARGUMENTS,
      icon: args => (args.toolbar ? kubeIcon : undefined),
      isEnabled: () => tracker.currentWidget !== null,
      execute: () =>
        tracker.currentWidget &&
        changeProfile(app, tracker.currentWidget, trans)
    });
    tracker.currentChanged.connect(() =>
      app.commands.notifyCommandChanged(CommandIDs.changeProfile)
    );
    palette?.addItem({
      command: CommandIDs.changeProfile,
      category: trans.__('Kubernetes')
    });
  }
};

export default plugin;

/** Ask what the kernel is to have, note it in the notebook, and start one that has it. */
async function changeProfile(
  app: JupyterFrontEnd,
  panel: NotebookPanel,
  trans: TranslationBundle
): Promise<void> {
  const title = trans.__("Change kernel's profile");
  try {
    const settings = app.serviceManager.serverSettings;
    const { profiles } = await getProfiles(settings);
    if (!profiles.length) {
      await showErrorMessage(title, trans.__('There are no profiles here.'));
      return;
    }
    const choice = await ask({
      title,
      body: formFor(panel, profiles, trans),
      buttons: [
        Dialog.cancelButton(),
        Dialog.warnButton({ label: trans.__('Start New Kernel') })
      ]
    });
    if (choice && !panel.isDisposed) {
      await apply(panel, profiles, choice);
    }
  } catch (error) {
    await showErrorMessage(title, error as Error);
  }
}

function formFor(
  panel: NotebookPanel,
  profiles: readonly Profile[],
  trans: TranslationBundle
): ProfileForm {
  const kernel = panel.sessionContext.session?.kernel;
  const own = profileOf(kernel?.name);
  const entry = panel.model?.getMetadata(KEY);
  const busy = kernel?.status === 'busy';
  const lost = busy
    ? trans.__('The kernel at work now is stopped, and its variables are lost.')
    : trans.__("The present kernel's variables are lost.");
  return new ProfileForm({
    profiles,
    profile: profiles.find(each => each.name === own) ?? profiles[0],
    chosenFor: profile => read(entry, profile),
    warning: `${kernel ? `${lost} ` : ''}${trans.__('The notebook is saved.')}`,
    trans
  });
}

/**
 * Note the choice and start a kernel that has it.
 *
 * The file must say so before: the server reads it there. The present kernel ends first, since the
 * new one may need its GPU, or the place that the profile allows.
 */
async function apply(
  panel: NotebookPanel,
  profiles: readonly Profile[],
  { profile, chosen }: IChoice
): Promise<void> {
  const { model, context, sessionContext } = panel;
  const entry = write(
    model?.getMetadata(KEY),
    profiles.find(each => each.name === profile)!,
    chosen
  );
  if (entry) {
    model?.setMetadata(KEY, entry);
  } else {
    model?.deleteMetadata(KEY);
  }
  await context.save();
  await sessionContext.shutdown();
  await sessionContext.changeKernel({ name: specOf(profile) });
}
