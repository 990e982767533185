/** Kernels and jobs as the server tells them. */
import type { TranslationBundle } from '@jupyterlab/translation';
import { nullTranslator } from '@jupyterlab/translation';

import type { Job, Kernel } from '../tokens';

export const trans: TranslationBundle = nullTranslator.load('jupyter_kube');

export function aJob(name: string, more: Partial<Job> = {}): Job {
  return {
    name,
    framework: 'python',
    workers: 2,
    least: 0,
    profile: 'cpu',
    phase: 'running',
    reason: '',
    message: '',
    started: 1000,
    ended: null,
    finished: false,
    counts: { running: 2 },
    ...more
  };
}

export function aKernel(id: string, more: Partial<Kernel> = {}): Kernel {
  return {
    id,
    pod: `pod-${id}`,
    profile: 'cpu',
    notebook: `work/${id}.ipynb`,
    phase: 'running',
    reason: '',
    message: '',
    execution_state: 'idle',
    created: '2026-01-01T00:00:00Z',
    gpus: 0,
    ends: null,
    ...more
  };
}
