import { ReactWidget, SidePanel, UseSignal } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import React from 'react';

import type { IClusterModel } from '../tokens';
import { ClusterSection } from './cluster';

/** What every part of the sidebar is given. */
export interface IContext {
  readonly model: IClusterModel;
  readonly commands: CommandRegistry;
  readonly trans: TranslationBundle;
}

/** All that there is of mine on the cluster. */
export class Sidebar extends SidePanel {
  constructor(context: IContext) {
    super();
    const { model, trans } = context;
    this.addClass('jp-KubeSidebar');
    this.addWidget(
      section(trans.__('Cluster'), () => (
        <UseSignal signal={model.changed}>
          {() => <ClusterSection {...context} />}
        </UseSignal>
      ))
    );
  }
}

function section(label: string, render: () => JSX.Element): ReactWidget {
  const widget = ReactWidget.create(render());
  widget.title.label = label;
  widget.addClass('jp-KubeSidebar-section');
  return widget;
}
