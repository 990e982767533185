/** A server for one page: it answers requests from a table and holds the other end of websockets. */
import { ServerConnection } from '@jupyterlab/services';

import type { Live } from '../tokens';

export class FakeServer {
  /** Websockets that the page has opened, the newest last. */
  readonly sockets: FakeSocket[] = [];
  readonly requests: Request[] = [];
  answer: (request: Request) => Response | Promise<Response> = () =>
    new Response('{}');

  readonly settings: ServerConnection.ISettings;

  constructor() {
    const { sockets } = this;
    this.settings = ServerConnection.makeSettings({
      baseUrl: 'http://localhost/lab-test/',
      wsUrl: 'ws://localhost/lab-test/',
      token: 'secret',
      appendToken: true,
      init: { cache: 'default' }, // or else each address ends with the time
      fetch: async (input: RequestInfo, init?: RequestInit) => {
        const request = new Request(input, init);
        this.requests.push(request);
        return this.answer(request);
      },
      WebSocket: class extends FakeSocket {
        constructor(url: string) {
          super(url);
          sockets.push(this);
        }
      } as unknown as typeof WebSocket
    });
  }

  get socket(): FakeSocket {
    return this.sockets[this.sockets.length - 1];
  }
}

/** One end of a websocket, in the server's hand. */
class FakeSocket {
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  isClosed = false;

  constructor(readonly url: string) {}

  tell(message: Live): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  drop(code = 1006): void {
    this.isClosed = true;
    this.onclose?.({ code });
  }

  close(): void {
    this.isClosed = true;
  }
}
