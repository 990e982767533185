/**
 * In the status bar: how far the kernel of the notebook at hand is while it starts, and why it waits.
 */
import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ReactWidget } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IStatusBar } from '@jupyterlab/statusbar';
import {
  ITranslator,
  TranslationBundle,
  nullTranslator
} from '@jupyterlab/translation';
import { ISignal, Signal } from '@lumino/signaling';
import React from 'react';

import { isOf } from './owner';
import { Phase } from './phase';
import { DOMAIN, IClusterModel, Kernel } from './tokens';

const STARTS = ['queued', 'waiting', 'pulling', 'starting'];

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-kube:startup',
  description: "Shows in the status bar how a notebook's kernel starts.",
  autoStart: true,
  requires: [IClusterModel, INotebookTracker],
  optional: [IStatusBar, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: IClusterModel,
    tracker: INotebookTracker,
    statusBar: IStatusBar | null,
    translator: ITranslator | null
  ) => {
    if (statusBar === null) {
      return; // as in Notebook 7
    }
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const item = new StartItem(trans);
    const look = () => {
      const panel = tracker.currentWidget;
      item.kernel = panel
        ? starting(
            model.kernels.values(),
            panel.sessionContext.session?.kernel?.id,
            panel.context.path
          )
        : null;
    };
    model.changed.connect(look);
    tracker.currentChanged.connect(look);
    statusBar.registerStatusItem('jupyter-kube:startup', {
      item,
      align: 'left',
      rank: 20,
      isActive: () => item.kernel !== null,
      activeStateChanged: item.changed
    });
  }
};

export default plugin;

/** Find the kernel that starts for a notebook. */
export function starting(
  kernels: Iterable<Kernel>,
  id: string | undefined,
  path: string
): Kernel | null {
  for (const kernel of kernels) {
    if (isOf(kernel, id, path) && STARTS.includes(kernel.phase)) {
      return kernel;
    }
  }
  return null;
}

/** The item; empty while nothing starts. */
export class StartItem extends ReactWidget {
  constructor(private _trans: TranslationBundle) {
    super();
    this.addClass('jp-KubeStartup');
  }

  get kernel(): Kernel | null {
    return this._kernel;
  }

  set kernel(kernel: Kernel | null) {
    this._kernel = kernel;
    this._changed.emit();
    this.update();
  }

  /** Told when there is something to show, or nothing any more. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  protected render(): JSX.Element {
    const kernel = this._kernel;
    return (
      <span role="status" title={kernel?.message}>
        {kernel && (
          <>
            {this._trans.__('Kernel')}{' '}
            <Phase phase={kernel.phase} trans={this._trans} />{' '}
            <span className="jp-KubeStartup-why">{kernel.message}</span>
          </>
        )}
      </span>
    );
  }

  private _kernel: Kernel | null = null;
  private _changed = new Signal<this, void>(this);
}
