import { Button } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { CommandIDs } from '../tokens';
import type { IClusterModel } from '../tokens';
import type { ISectionProps } from './context';
import { Gpus } from './gpus';

/** Where the cluster is and how it is; never empty. */
export function ClusterSection(props: ISectionProps): JSX.Element {
  const { model, commands, trans } = props;
  const { context, namespace } = model.cluster ?? {};
  const stuck = ['lost', 'missing', 'ended'].includes(model.connection);
  return (
    <div
      className="jp-KubeCluster"
      role="group"
      aria-label={trans.__('Cluster')}
      tabIndex={0}
    >
      <p role="status" title={model.cluster?.version}>
        {stateOf(model, trans)}
      </p>
      {namespace && (
        <dl>
          <dt>{trans.__('Context')}</dt>
          <dd>{context}</dd>
          <dt>{trans.__('Namespace')}</dt>
          <dd>{namespace}</dd>
        </dl>
      )}
      {stuck && (
        <div className="jp-KubeButtons">
          <Button
            className="jp-mod-styled"
            onClick={() => void commands.execute(CommandIDs.reconnect)}
          >
            {trans.__('Try again')}
          </Button>
        </div>
      )}
      <Gpus model={model} trans={trans} />
    </div>
  );
}

/** How the cluster is, or why nobody knows, in one text. */
export function stateOf(
  model: IClusterModel,
  trans: TranslationBundle
): string {
  switch (model.connection) {
    case 'connecting':
      return trans.__('Asking the server…');
    case 'missing':
      return trans.__(
        'The server extension jupyter_kube is not there. Install jupyter-kube with its extra "server" where the Jupyter Server runs, and restart it.'
      );
    case 'lost':
      return trans.__('The Jupyter Server does not answer; it is tried again.');
    case 'ended':
      return model.trouble?.message ?? '';
    case 'live':
      break;
  }
  if (model.staleSince) {
    return trans.__(
      'No answer since %1: what you see may be old.',
      model.staleSince.toLocaleTimeString()
    );
  }
  const { state, message } = model.cluster ?? { state: 'none' };
  return state === 'up'
    ? trans.__('Reachable')
    : (message ?? trans.__('No cluster'));
}
