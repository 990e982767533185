/**
 * One job as its view sees it: its state, its newest lines and its curves, live.
 *
 * What comes is kept at once; the view is told once a frame, so that floods of lines cost little.
 */
import { ServerConnection } from '@jupyterlab/services';
import type { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { ApiError, getProfiles, logsPath, socketUrl } from '../api';
import { REFUSALS } from '../model';
import { LastingSocket } from '../socket';
import type { JobDetail, Told, Trouble } from '../tokens';
import { Lines } from './lines';
import { Progress } from './progress';
import { Reports, Series } from './series';

/** What is known of the connection. */
export type Link = 'connecting' | 'live' | 'lost' | 'ended';

/** Follows a job to its end, through lost connections. */
export class JobModel implements IDisposable {
  constructor(private _options: JobModel.IOptions) {
    const { name, settings } = _options;
    this._socket = new LastingSocket({
      settings,
      url: socketUrl(settings, logsPath(name)),
      onMessage: told => this._take(told as Told),
      onLost: opened => {
        this._become(this._job ? 'lost' : 'connecting');
        if (!opened) {
          void this._explain();
        }
      },
      onEnd: () => this._become('ended')
    });
  }

  readonly lines = new Lines();
  readonly series = new Series();
  progress = new Progress();

  get name(): string {
    return this._options.name;
  }

  /** The job as it was last told; null before the first message. */
  get job(): JobDetail | null {
    return this._job;
  }

  get link(): Link {
    return this._link;
  }

  /** Why it cannot be followed. */
  get error(): Trouble | null {
    return this._error;
  }

  /** How many lines left the beginning of the matching ones since this was asked. */
  takeLeft(): number {
    const left = this._left;
    this._left = 0;
    return left;
  }

  /** Told once a frame when something has changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Begin anew after an error or a job's end. */
  again(): void {
    this._error = null;
    this._link = 'connecting';
    this._socket.reopen();
    this._tell();
  }

  /** Take what an answer of the server says about the job: it has not read what ranks say. */
  update(job: JobDetail): void {
    this._job = { ...job, ranks: this._job?.ranks ?? job.ranks };
    this._tell();
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._socket.dispose();
    Signal.clearData(this);
  }

  /** Take a message; returns whether more may come. */
  private _take(told: Told): boolean {
    if (this._link !== 'live') {
      // Each connection tells everything from the beginning.
      this.lines.clear();
      this.series.clear();
      this.progress = new Progress();
      this._left = 0;
      this._link = 'live';
    }
    this._error = told.error ?? null;
    if (this._error) {
      this._link = 'ended';
    }
    this._left += this.lines.push(told.lines ?? [], told.dropped);
    this.progress.hear(told.lines ?? []);
    if (told.job) {
      this._job = told.job;
      this.progress.see(told.job, Date.now() / 1000);
    }
    if (told.reports?.length) {
      this.series.add(told.reports as Reports);
    }
    this._tell();
    return !this._error;
  }

  /** Find out whether it is refused: a browser is not told why there is no websocket. */
  private async _explain(): Promise<void> {
    try {
      await getProfiles(this._options.settings);
    } catch (error) {
      const refused =
        error instanceof ApiError && REFUSALS.includes(error.status);
      if (refused && this._link !== 'live' && !this._isDisposed) {
        this._socket.rest();
        this._error = error.trouble;
        this._become('ended');
      }
    }
  }

  private _become(link: Link): void {
    this._link = link;
    this._tell();
  }

  private _tell(): void {
    if (this._telling) {
      return;
    }
    this._telling = true;
    this._options.schedule(() => {
      this._telling = false;
      if (!this._isDisposed) {
        this._changed.emit();
      }
    });
  }

  private readonly _socket: LastingSocket;
  private readonly _changed = new Signal<this, void>(this);
  private _job: JobDetail | null = null;
  private _error: Trouble | null = null;
  private _link: Link = 'connecting';
  private _left = 0;
  private _telling = false;
  private _isDisposed = false;
}

export namespace JobModel {
  export interface IOptions {
    name: string;
    settings: ServerConnection.ISettings;
    /** Calls a function when the next frame is drawn. */
    schedule: (tell: () => void) => void;
  }
}
