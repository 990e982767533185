import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { Gpu, IClusterModel } from '../tokens';

/** GPUs of each kind: how many are free, and who of mine holds the others. */
export function Gpus(props: {
  readonly model: IClusterModel;
  readonly trans: TranslationBundle;
}): JSX.Element | null {
  const { model, trans } = props;
  const kinds = (model.cluster?.gpus ?? []).filter(
    gpu => gpu.total !== 0 || Object.keys(gpu.held).length > 0
  );
  return kinds.length ? (
    <>
      {kinds.map(gpu => (
        <div key={gpu.resource} className="jp-KubeGpus">
          <div className="jp-KubeList-line">
            <span className="jp-KubeList-name" title={gpu.resource}>
              {gpu.resource}
            </span>
            <span className="jp-KubeList-aside">{freeOf(gpu, trans)}</span>
          </div>
          <ul>
            {holdersOf(gpu, model, trans).map(({ name, number }) => (
              <li key={name}>
                {number} · {name}
              </li>
            ))}
          </ul>
        </div>
      ))}
    </>
  ) : null;
}

interface IHolder {
  readonly name: string;
  readonly number: number;
}

function freeOf(gpu: Gpu, trans: TranslationBundle): string {
  const held = Object.values(gpu.held).reduce((sum, each) => sum + each, 0);
  return gpu.total === null
    ? trans.__('%1 in use', held)
    : trans.__('%1 of %2 free', Math.max(0, gpu.total - held), gpu.total);
}

/** Sum up who holds how many: my kernels and jobs by their names, all else as others. */
export function holdersOf(
  gpu: Gpu,
  model: Pick<IClusterModel, 'kernels' | 'jobs'>,
  trans: TranslationBundle
): IHolder[] {
  const notebooks = new Map(
    [...model.kernels.values()].map(k => [k.pod, k.notebook || k.pod])
  );
  const sums = new Map<string, number>();
  for (const [pod, number] of Object.entries(gpu.held)) {
    const name =
      notebooks.get(pod) ?? jobOf(pod, model.jobs) ?? trans.__('others');
    sums.set(name, (sums.get(name) ?? 0) + number);
  }
  return [...sums].map(([name, number]) => ({ name, number }));
}

/** Find the job of a pod: its name is the job's, then a role's, an index and letters. */
function jobOf(
  pod: string,
  jobs: ReadonlyMap<string, unknown>
): string | undefined {
  const parts = pod.split('-');
  for (let end = parts.length - 1; end > 0; end--) {
    const name = parts.slice(0, end).join('-');
    if (jobs.has(name)) {
      return name;
    }
  }
  return undefined;
}
