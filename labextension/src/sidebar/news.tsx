import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { phaseWord } from '../phase';
import type { IChange, IChanges, IClusterModel } from '../tokens';

/** More than these at once are only counted. */
const MOST = 3;

/** Says what happens to those who cannot see it; drawn, but not to be seen. */
export function News(props: {
  readonly model: IClusterModel;
  readonly trans: TranslationBundle;
}): JSX.Element {
  const { model, trans } = props;
  const [words, say] = React.useState('');
  React.useEffect(() => {
    const listen = (_: IClusterModel, changes: IChanges): void => {
      const told = wordsOf(changes, trans);
      if (told) {
        say(told);
      }
    };
    model.changed.connect(listen);
    return () => void model.changed.disconnect(listen);
  }, [model, trans]);
  return (
    <div className="jp-KubeNews" role="status">
      {words}
    </div>
  );
}

/** Put into words which phases have changed; empty if none has. */
export function wordsOf(changes: IChanges, trans: TranslationBundle): string {
  if (changes.first) {
    return '';
  }
  const told = [
    ...moved(changes.kernels).map(({ now }) =>
      trans.__(
        'Kernel %1: %2',
        now.notebook || now.pod,
        phaseWord(now.phase, trans)
      )
    ),
    ...moved(changes.jobs).map(({ now }) =>
      trans.__('Job %1: %2', now.name, phaseWord(now.phase, trans))
    )
  ];
  return told.length > MOST
    ? trans.__('%1 kernels and jobs have changed', told.length)
    : told.join('. ');
}

function moved<T extends { phase: string }>(
  changes: readonly IChange<T>[]
): { now: T }[] {
  return changes.flatMap(({ before, now }) =>
    now && now.phase !== before?.phase ? [{ now }] : []
  );
}
