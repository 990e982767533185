import { Token } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';

import type { components } from './openapi';

type Schemas = components['schemas'];

export type Cluster = Schemas['Cluster'];
export type Gpu = Schemas['Gpu'];
export type Kernel = Schemas['Kernel'];
export type Phase = Schemas['Phase'];
/** A job as lists and the live view have it: with counts, without its ranks. */
export type Job = Schemas['JobWithoutRanks'];
/** A job with its ranks. */
export type JobDetail = Schemas['Job'];
export type Rank = Schemas['Rank'];
export type Profile = Schemas['Profile'];
export type Profiles = Schemas['Profiles'];
export type Fit = Schemas['Fit'];
/** Why a job is as it is, in sentences. */
export type Why = Schemas['Why'];
/** What went wrong, in the user's words. */
export type Trouble = Schemas['Error'];
export type Live = Schemas['Live'];
export type Told = Schemas['Told'];

/** The domain of our strings. */
export const DOMAIN = 'jupyter_kube';

/** The plugin whose settings are all of ours. */
export const SETTINGS = 'jupyter-kube:plugin';

/** How the live view gets its news. */
export type Connection =
  /** Not yet, for the first time. */
  | 'connecting'
  /** It does. */
  | 'live'
  /** The Jupyter Server does not answer; it is tried again and again. */
  | 'lost'
  /** The server extension is not there, or not switched on. */
  | 'missing'
  /** The server says why it cannot go on; see `trouble`. */
  | 'ended';

/** What one thing was and is; without `before` it is new, without `now` gone. */
export interface IChange<T> {
  readonly id: string;
  readonly before?: T;
  readonly now?: T;
}

/** What one message, or the loss of the connection, has changed. */
export interface IChanges {
  /** Whether everything was told for the first time since this page was opened. */
  readonly first: boolean;
  readonly kernels: readonly IChange<Kernel>[];
  readonly jobs: readonly IChange<Job>[];
}

/** The live view of the cluster: one for all that shows something of it. */
export interface IClusterModel extends IDisposable {
  readonly connection: Connection;
  /** Why there is no news any more; null unless `connection` is `ended`. */
  readonly trouble: Trouble | null;
  /** Null before the first message. */
  readonly cluster: Cluster | null;
  /** Since when the API server has not answered, so that all may be old. */
  readonly staleSince: Date | null;
  /** The user's kernels by id. */
  readonly kernels: ReadonlyMap<string, Kernel>;
  /** The user's jobs by name, newest first. */
  readonly jobs: ReadonlyMap<string, Job>;
  /** Emitted after any of the above has changed. */
  readonly changed: ISignal<IClusterModel, IChanges>;
  /** Settled once the first message is there. */
  readonly ready: Promise<void>;
  /** Try again at once, also after `missing` and `ended`. */
  reconnect(): void;
}

export const IClusterModel = new Token<IClusterModel>(
  'jupyter-kube:IClusterModel',
  'The live view of the cluster: its state, the kernels and jobs of the user.'
);

/** The tabs with jobs. */
export interface IJobViews {
  /** Whether a job's tab is there and to be seen. */
  isVisible(name: string): boolean;
}

export const IJobViews = new Token<IJobViews>(
  'jupyter-kube:IJobViews',
  'The tabs with jobs: which of them can be seen.'
);

export namespace CommandIDs {
  export const showSidebar = 'jupyter-kube:show-sidebar';
  export const reconnect = 'jupyter-kube:reconnect';

  // Kernels: `{id}`, the kernel's id in Jupyter
  export const chooseProfile = 'jupyter-kube:choose-profile'; // {x, y}
  export const startKernel = 'jupyter-kube:start-kernel'; // {profile}
  export const interruptKernel = 'jupyter-kube:interrupt-kernel';
  export const restartKernel = 'jupyter-kube:restart-kernel';
  export const stopKernel = 'jupyter-kube:stop-kernel';
  export const openNotebook = 'jupyter-kube:open-notebook';

  // Jobs: `{name}`
  export const openJob = 'jupyter-kube:open-job';
  export const scaleJob = 'jupyter-kube:scale-job';
  export const whyJob = 'jupyter-kube:why-job';
  export const killJob = 'jupyter-kube:kill-job';
  export const rerunJob = 'jupyter-kube:rerun-job';

  // The notebook at hand
  export const runCell = 'jupyter-kube:run-cell';
  export const changeProfile = 'jupyter-kube:change-profile';
}
