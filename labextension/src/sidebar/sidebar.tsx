import {
  addIcon,
  Button,
  ReactWidget,
  SidePanel,
  UseSignal
} from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import { Signal } from '@lumino/signaling';
import type { AccordionPanel, PanelLayout } from '@lumino/widgets';
import React from 'react';

import { CommandIDs } from '../tokens';
import type { IClusterModel } from '../tokens';
import { ClusterSection } from './cluster';
import type { IContext, ISectionProps, ISettings } from './context';
import { JobsSection } from './jobs';
import { KernelsSection } from './kernels';
import { News } from './news';

/** All that there is of mine on the cluster. */
export class Sidebar extends SidePanel {
  constructor(context: IContext) {
    super();
    const { trans } = context;
    this.addClass('jp-KubeSidebar');
    this.toolbar.addItem(
      'start',
      ReactWidget.create(
        <UseSignal signal={context.model.changed}>
          {() => <StartButton {...context} />}
        </UseSignal>
      )
    );
    this._sections = [
      new Section(trans.__('Cluster'), ClusterSection, context),
      new Section(trans.__('My kernels'), KernelsSection, context),
      new Section(trans.__('My jobs'), JobsSection, context)
    ];
    this._sections.forEach(section => this.addWidget(section));
    (this.layout as PanelLayout).addWidget(
      ReactWidget.create(<News {...context} />)
    );
    this._fit(context.model);
    context.model.changed.connect(this._fit, this);
  }

  /** Take what the user has set. */
  set settings(settings: ISettings) {
    this._sections.forEach(section => (section.settings = settings));
  }

  dispose(): void {
    Signal.disconnectReceiver(this);
    super.dispose();
  }

  /** Give room to lists that are not empty; what the user has drawn stays until one is or was. */
  private _fit({ kernels, jobs }: IClusterModel): void {
    const shape = `${kernels.size > 0} ${jobs.size > 0}`;
    if (shape !== this._shape) {
      this._shape = shape;
      const sizes = [22, kernels.size ? 30 : 12, jobs.size ? 48 : 12];
      (this.content as AccordionPanel).setRelativeSizes(sizes);
    }
  }

  private readonly _sections: Section[];
  private _shape = '';
}

/** Starts a kernel; its menu opens below. */
function StartButton({ commands, trans }: IContext): JSX.Element {
  return (
    <Button
      className="jp-KubeNew"
      minimal
      aria-haspopup="menu"
      title={commands.caption(CommandIDs.chooseProfile)}
      disabled={!commands.isEnabled(CommandIDs.chooseProfile)}
      onClick={event => {
        const place = event.currentTarget.getBoundingClientRect();
        const { left: x, bottom: y } = place;
        void commands.execute(CommandIDs.chooseProfile, { x, y });
      }}
    >
      <addIcon.react tag="span" />
      {trans.__('New kernel')}
    </Button>
  );
}

/** One part of the sidebar; it rests while it is not to be seen. */
class Section extends ReactWidget {
  constructor(label: string, body: React.FC<ISectionProps>, context: IContext) {
    super();
    this._body = body;
    this._context = context;
    this.title.label = label;
    this.addClass('jp-KubeSection');
    context.model.changed.connect(this.refresh, this);
  }

  set settings(settings: ISettings) {
    this._context = { ...this._context, settings };
    this.update();
  }

  refresh(): void {
    if (this.isVisible) {
      this.update();
    }
  }

  dispose(): void {
    this._context.model.changed.disconnect(this.refresh, this);
    super.dispose();
  }

  protected render(): JSX.Element | null {
    const Body = this._body;
    this._wasSeen ||= this.isVisible;
    return this._wasSeen ? (
      <Body {...this._context} isSeen={this.isVisible} />
    ) : null;
  }

  protected onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    this.update();
  }

  protected onAfterHide(msg: Message): void {
    super.onAfterHide(msg);
    this.update();
  }

  private readonly _body: React.FC<ISectionProps>;
  private _wasSeen = false;
  private _context: IContext;
}
