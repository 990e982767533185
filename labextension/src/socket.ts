/**
 * A websocket that is opened again whenever it is lost, after longer and longer waits.
 */
import { ServerConnection } from '@jupyterlab/services';
import type { IDisposable } from '@lumino/disposable';

const FIRST_WAIT = 1000; // ms
const LONGEST_WAIT = 30_000; // ms
const TOLD_ALL = 1000; // why the server closes it, as handlers/socket.py has it

export interface ISocketOptions {
  readonly settings: ServerConnection.ISettings;
  readonly url: string;
  /** Take a message; the socket is not opened again once it returns `false`. */
  readonly onMessage: (data: unknown) => boolean;
  /** The connection is lost, or could not be made at all (`opened` is false). */
  readonly onLost: (opened: boolean) => void;
  /** The server has told all there is; without this, it is lost then, too. */
  readonly onEnd?: () => void;
  /** From 0 to 1: where in its range a wait lies, so that not all come back at once. */
  readonly random?: () => number;
}

/** A websocket for reading that does not stay closed. */
export class LastingSocket implements IDisposable {
  constructor(options: ISocketOptions) {
    this._options = options;
    this._open();
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Open it again now, whether it is open or waits. */
  reopen(): void {
    if (!this._isDisposed) {
      this._close();
      this._wait = FIRST_WAIT;
      this._open();
    }
  }

  /** Leave it closed until `reopen` is called. */
  rest(): void {
    this._close();
  }

  dispose(): void {
    this._isDisposed = true;
    this._close();
  }

  private _open(): void {
    const { settings, url, onMessage, onLost, onEnd } = this._options;
    const socket = new settings.WebSocket(url);
    let opened = false;
    this._socket = socket;
    socket.onmessage = (event: MessageEvent) => {
      opened = true;
      this._wait = FIRST_WAIT;
      if (!onMessage(JSON.parse(event.data))) {
        this.rest();
      }
    };
    socket.onclose = ({ code }: CloseEvent) => {
      this._socket = null;
      if (code === TOLD_ALL && onEnd) {
        onEnd();
      } else {
        this._later();
        onLost(opened);
      }
    };
  }

  private _later(): void {
    const share = (this._options.random ?? Math.random)();
    const wait = this._wait * (0.5 + share / 2);
    this._wait = Math.min(2 * this._wait, LONGEST_WAIT);
    this._timer = window.setTimeout(() => this._open(), wait);
  }

  private _close(): void {
    window.clearTimeout(this._timer);
    if (this._socket) {
      this._socket.onmessage = null;
      this._socket.onclose = null;
      this._socket.close();
      this._socket = null;
    }
  }

  private readonly _options: ISocketOptions;
  private _isDisposed = false;
  private _socket: WebSocket | null = null;
  private _timer: number | undefined;
  private _wait = FIRST_WAIT;
}
