import { PathExt } from '@jupyterlab/coreutils';
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { about } from '../duration';
import { Phase } from '../phase';
import { CommandIDs } from '../tokens';
import type { Kernel } from '../tokens';
import { Actions } from './buttons';
import { useNow } from './clock';
import type { ISectionProps } from './context';
import { List } from './list';

/** My kernels, oldest first, and what may be done with the one that is chosen. */
export function KernelsSection(props: ISectionProps): JSX.Element {
  const { model, commands, trans, isSeen } = props;
  const [selected, select] = React.useState<string | null>(null);
  const now = useNow(isSeen);
  const kernels = [...model.kernels.values()].sort((one, other) =>
    one.created.localeCompare(other.created)
  );
  const kernel = selected === null ? undefined : model.kernels.get(selected);
  return (
    <>
      {kernels.length ? (
        <List
          label={trans.__('My kernels')}
          items={kernels}
          idOf={each => each.id}
          selected={selected}
          onSelect={select}
          onOpen={id => {
            select(id);
            void commands.execute(CommandIDs.openNotebook, { id });
          }}
        >
          {each => <KernelRow kernel={each} now={now} trans={trans} />}
        </List>
      ) : (
        <p className="jp-KubeNone">
          {model.cluster
            ? trans.__('None. Start one by New kernel, or from the launcher.')
            : ''}
        </p>
      )}
      {kernel && (
        <div className="jp-KubeDetail" role="group" aria-label={nameOf(kernel)}>
          <Actions
            commands={commands}
            actions={[
              [CommandIDs.openNotebook, trans.__('Open')],
              [CommandIDs.interruptKernel, trans.__('Interrupt')],
              [CommandIDs.restartKernel, trans.__('Restart…')],
              [CommandIDs.stopKernel, trans.__('Stop…')]
            ]}
            args={{ id: kernel.id }}
          />
        </div>
      )}
    </>
  );
}

function KernelRow(props: {
  readonly kernel: Kernel;
  readonly now: number;
  readonly trans: TranslationBundle;
}): JSX.Element {
  const { kernel, now, trans } = props;
  const gpus = kernel.gpus && trans._n('%1 GPU', '%1 GPUs', kernel.gpus);
  const ends =
    kernel.ends &&
    trans.__('ends in %1', about(Date.parse(kernel.ends) / 1000 - now, trans));
  const aside = [kernel.profile, gpus].filter(Boolean).join(' · ');
  return (
    <>
      <div className="jp-KubeList-line">
        <span className="jp-KubeList-name" title={kernel.notebook}>
          {nameOf(kernel)}
        </span>
        <span className="jp-KubeList-aside">{aside}</span>
      </div>
      <div className="jp-KubeList-text">
        <Phase phase={kernel.phase} trans={trans} />
        {[stateOf(kernel, trans), ends, kernel.message]
          .filter(Boolean)
          .map((words, n) => (
            <React.Fragment key={n}> · {words}</React.Fragment>
          ))}
      </div>
    </>
  );
}

/** What a running kernel does; nothing where its phase says all. */
function stateOf(kernel: Kernel, trans: TranslationBundle): string {
  if (kernel.phase !== 'running') {
    return '';
  }
  const words: Record<string, string> = {
    busy: trans.__('busy'),
    idle: trans.__('idle'),
    restarting: trans.__('restarting'),
    starting: trans.__('starting')
  };
  return kernel.execution_state === null
    ? trans.__('of another server')
    : (words[kernel.execution_state] ?? '');
}

function nameOf(kernel: Kernel): string {
  return PathExt.basename(kernel.notebook) || kernel.pod;
}
