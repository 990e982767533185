/**
 * The kernel of a notebook, for a cell that is to run on the cluster.
 */
import type {
  ISessionContext,
  ISessionContextDialogs
} from '@jupyterlab/apputils';
import { Notification } from '@jupyterlab/apputils';
import type { Kernel } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';

/** Done in the kernel before the cell; once the extension is loaded, it does nothing. */
const LOAD = 'get_ipython().extension_manager.load_extension("jupyter_kube")';

/**
 * Find a notebook's kernel; where there is none it is started first, as JupyterLab does for a cell.
 *
 * @returns The kernel, which may still be on its way: it does in order what it is asked. Null if
 * the user wants none.
 */
export async function kernelOf(
  context: ISessionContext,
  dialogs: ISessionContextDialogs | null
): Promise<Kernel.IKernelConnection | null> {
  if (!context.hasNoKernel) {
    await context.ready;
  } else if (!context.isTerminating && (await context.startKernel())) {
    await dialogs?.selectKernel(context);
  }
  return context.session?.kernel ?? null;
}

/** Have the kernel load the magics before it comes to the cell, without a cell for that. */
export function load(
  kernel: Kernel.IKernelConnection,
  trans: TranslationBundle
): void {
  const loading = kernel.requestExecute({
    code: LOAD,
    silent: true,
    store_history: false,
    stop_on_error: false
  });
  loading.done.then(
    ({ content }) => {
      if (content.status === 'error') {
        Notification.error(
          trans.__(
            "This kernel cannot load jupyter_kube: %1. Install jupyter-kube in the kernel's environment: see the first page of its documentation.",
            content.evalue
          ),
          { autoClose: false }
        );
      }
    },
    () => undefined // the kernel was restarted meanwhile, and the cell says so
  );
}
