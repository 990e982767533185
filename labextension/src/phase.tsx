/**
 * A phase of a job, a rank or a kernel: by sign, colour and word.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

// The same signs as in a cell's output (jupyter_kube/train/grid.py)
const SIGNS: Record<string, string> = {
  queued: '○',
  waiting: '…',
  pulling: '↓',
  starting: '◔',
  running: '▸',
  succeeded: '✓',
  failed: '✗',
  stopped: '■',
  gone: '–'
};

/** The word for a phase. */
export function phaseWord(phase: string, trans: TranslationBundle): string {
  const words: Record<string, string> = {
    queued: trans.__('queued'),
    waiting: trans.__('waiting'),
    pulling: trans.__('pulling'),
    starting: trans.__('starting'),
    running: trans.__('running'),
    succeeded: trans.__('done'),
    failed: trans.__('failed'),
    stopped: trans.__('stopped'),
    gone: trans.__('gone')
  };
  return words[phase] ?? phase;
}

/** Sign and word. */
export function Phase(props: {
  phase: string;
  trans: TranslationBundle;
}): JSX.Element {
  return (
    <span className={`jp-KubePhase jp-mod-${props.phase}`}>
      <span aria-hidden="true">{SIGNS[props.phase] ?? '…'}</span>{' '}
      {phaseWord(props.phase, props.trans)}
    </span>
  );
}
