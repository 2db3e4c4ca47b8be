import { type IncomingMessage, createServer, request, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

/** What becomes of a request on its way to the service. */
export type Fate =
  | 'pass'
  /** Accepted, read, never answered. */
  | 'mute'
  /** The connection is reset before anything has come back. */
  | 'reset'
  /** The answer breaks off in its middle. */
  | 'cut'
  /** As a busy or a broken server answers. */
  | { status: number; headers?: Record<string, string>; body?: string };

/** Stands between client and service, and is as bad as a test wants it. */
export class HttpProxy {
  /** Requests that have arrived, as `METHOD path`, with what tells one from another. */
  readonly seen: { line: string; headers: IncomingMessage['headers'] }[] = [];
  /** For the requests to come, one each; then `fate` is for all. */
  readonly next: Fate[] = [];
  fate: Fate = 'pass';
  private readonly server: Server;
  private port = 0;

  private constructor(private readonly target: URL) {
    this.server = createServer((incoming, outgoing) => {
      void this.handle(incoming, outgoing);
    });
  }

  static async to(target: string): Promise<HttpProxy> {
    const proxy = new HttpProxy(new URL(target));
    await proxy.up();
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Listen, on the port of before. */
  async up(): Promise<void> {
    this.server.listen(this.port, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = (this.server.address() as AddressInfo).port;
  }

  /** Refuse every connection, as a service does that is not there. */
  async down(): Promise<void> {
    this.server.closeAllConnections();
    if (this.server.listening) {
      this.server.close();
      await once(this.server, 'close');
    }
  }

  private async handle(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    this.seen.push({ line: `${incoming.method ?? ''} ${incoming.url ?? ''}`, headers: incoming.headers });
    const body: Buffer[] = [];
    for await (const chunk of incoming) {
      body.push(chunk as Buffer);
    }
    const fate = this.next.shift() ?? this.fate;
    if (typeof fate === 'object') {
      outgoing.writeHead(fate.status, fate.headers).end(fate.body ?? '');
    } else if (fate === 'reset') {
      incoming.socket.resetAndDestroy();
    } else if (fate !== 'mute') {
      this.forward(incoming, Buffer.concat(body), outgoing, fate === 'cut');
    }
  }

  private forward(incoming: IncomingMessage, body: Buffer, outgoing: ServerResponse, cut: boolean): void {
    const { method, url, headers } = incoming;
    const onward = request(new URL(url ?? '/', this.target), { method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      if (cut) {
        answer.once('data', (chunk: Buffer) => {
          outgoing.write(chunk.subarray(0, chunk.length / 2), () => outgoing.destroy());
        });
      } else {
        answer.pipe(outgoing);
      }
      outgoing.on('close', () => answer.destroy());
    });
    onward.on('error', () => outgoing.destroy());
    onward.end(body);
  }
}
