/**
 * The live view of the cluster: what the server tells, kept by id.
 */
import { PromiseDelegate } from '@lumino/coreutils';
import { ISignal, Signal } from '@lumino/signaling';
import type { ServerConnection } from '@jupyterlab/services';

import { ApiError, getProfiles, livePath, socketUrl } from './api';
import { learn } from './news';
import { LastingSocket } from './socket';
import type {
  Cluster,
  Connection,
  IChanges,
  IClusterModel,
  Job,
  Kernel,
  Live,
  Trouble
} from './tokens';

/** Answers that stay the same until the user does something: sign in, ask for rights. */
export const REFUSALS = [401, 403];

const NOTHING: IChanges = { first: false, kernels: [], jobs: [] };

/** What is told by `/jupyter-kube/live`, from one websocket that is opened again when lost. */
export class ClusterModel implements IClusterModel {
  constructor(settings: ServerConnection.ISettings) {
    this._settings = settings;
    this._socket = new LastingSocket({
      settings,
      url: socketUrl(settings, livePath),
      onMessage: data => this._take(data as Live),
      onLost: opened => this._lost(opened)
    });
  }

  get connection(): Connection {
    return this._connection;
  }

  get trouble(): Trouble | null {
    return this._trouble;
  }

  get cluster(): Cluster | null {
    return this._cluster;
  }

  get staleSince(): Date | null {
    return this._staleSince;
  }

  get kernels(): ReadonlyMap<string, Kernel> {
    return this._kernels;
  }

  get jobs(): ReadonlyMap<string, Job> {
    return this._jobs;
  }

  get changed(): ISignal<this, IChanges> {
    return this._changed;
  }

  get ready(): Promise<void> {
    return this._ready.promise;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  reconnect(): void {
    this._become('connecting');
    this._socket.reopen();
  }

  dispose(): void {
    if (!this._isDisposed) {
      this._isDisposed = true;
      this._socket.dispose();
      Signal.clearData(this);
    }
  }

  /** Take a message; returns whether more is to come. */
  private _take(told: Live): boolean {
    if ('error' in told) {
      this._become('ended', told.error);
      return false;
    }
    // The first message of each connection tells everything.
    const whole = this._connection !== 'live';
    const first = this._cluster === null;
    const { gone } = told;
    const kernels = learn(
      this._kernels,
      { told: told.kernels, gone: gone?.kernels, whole },
      kernel => kernel.id,
      'after'
    );
    const jobs = learn(
      this._jobs,
      { told: told.jobs, gone: gone?.jobs, whole },
      job => job.name,
      'before'
    );
    this._kernels = kernels.known;
    this._jobs = jobs.known;
    this._cluster = told.cluster ?? this._cluster;
    if (told.stale_since !== undefined) {
      this._staleSince = told.stale_since ? new Date(told.stale_since) : null;
    }
    this._connection = 'live';
    this._trouble = null;
    this._ready.resolve();
    this._changed.emit({
      first,
      kernels: kernels.changes,
      jobs: jobs.changes
    });
    return true;
  }

  private _lost(opened: boolean): void {
    if (opened || this._connection !== 'connecting') {
      this._become('lost');
    }
    if (!opened) {
      void this._explain();
    }
  }

  /** Find out why there is no websocket: a browser is not told. */
  private async _explain(): Promise<void> {
    let trouble: ApiError | null = null;
    try {
      await getProfiles(this._settings);
    } catch (error) {
      trouble = error instanceof ApiError ? error : null;
    }
    if (this._isDisposed || this._connection === 'live') {
      return; // it has come up meanwhile
    }
    if (trouble?.status === 404) {
      this._socket.rest();
      this._become('missing');
    } else if (trouble && REFUSALS.includes(trouble.status)) {
      this._socket.rest();
      this._become('ended', trouble.trouble);
    } else {
      this._become('lost'); // a hub answers 424 while it starts the server anew
    }
  }

  private _become(
    connection: Connection,
    trouble: Trouble | null = null
  ): void {
    if (this._connection !== connection || this._trouble !== trouble) {
      this._connection = connection;
      this._trouble = trouble;
      this._changed.emit(NOTHING);
    }
  }

  private readonly _settings: ServerConnection.ISettings;
  private readonly _socket: LastingSocket;
  private readonly _changed = new Signal<this, IChanges>(this);
  private readonly _ready = new PromiseDelegate<void>();
  private _isDisposed = false;
  private _connection: Connection = 'connecting';
  private _trouble: Trouble | null = null;
  private _cluster: Cluster | null = null;
  private _staleSince: Date | null = null;
  private _kernels: ReadonlyMap<string, Kernel> = new Map();
  private _jobs: ReadonlyMap<string, Job> = new Map();
}
