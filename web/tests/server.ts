// A real server in a folder of its own, that can be killed and started again, and a road to it that can be cut.
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

const BINARY = process.env['DDX_BIN'] ?? path.resolve(import.meta.dirname, '../../target/debug/ddx');

export class Server {
  port = 0;
  private child: ChildProcess | null = null;
  private log = '';

  private constructor(
    readonly folder: string,
    private readonly options: string[],
  ) {}

  static async start(...options: string[]): Promise<Server> {
    const server = new Server(await mkdtemp(path.join(tmpdir(), 'ddx-pages-')), options);
    await server.run();
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts it, on the port that it had before. */
  async run(): Promise<void> {
    const args = ['serve', '--listen', `127.0.0.1:${this.port}`, '--data-dir', path.join(this.folder, 'data')];
    const child = spawn(BINARY, [...args, ...this.options], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child = child;
    child.stderr.on('data', (chunk: Buffer) => (this.log += chunk.toString()));
    let said = '';
    await new Promise<void>((resolve, reject) => {
      child.stdout.on('data', (chunk: Buffer) => {
        said += chunk.toString();
        const found = /listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(said);
        if (!found) return;
        this.port = Number(found[1]);
        resolve();
      });
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`the server ended with ${code}: ${this.log}`)));
    });
  }

  /** kill -9. */
  async kill(): Promise<void> {
    const child = this.child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  /** Loses all data, as a disk that was changed does. Only while it does not run. */
  async empty(): Promise<void> {
    await rm(path.join(this.folder, 'data'), { recursive: true, force: true });
  }

  async remove(): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }

  async json<T>(address: string): Promise<T> {
    const answer = await fetch(this.url + address);
    if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
    return (await answer.json()) as T;
  }
}

/** Bytes that look random, the same for the same seed. */
export function bytesOf(seed: number, length: number): Buffer {
  const block = createHash('sha512').update(`seed ${seed}`).digest();
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at += 64) {
    block.writeUInt32LE(at / 64, 0);
    block.copy(bytes, at);
  }
  return bytes;
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export async function digestAt(link: string): Promise<string> {
  const answer = await fetch(link, { headers: { accept: '*/*' } });
  if (!answer.ok) throw new Error(`${link}: ${answer.status}`);
  return sha256(new Uint8Array(await answer.arrayBuffer()));
}

export async function fileIn(folder: string, name: string, bytes: Uint8Array): Promise<string> {
  const file = path.join(folder, name);
  await writeFile(file, bytes);
  return file;
}

/** A road to the server that counts what is sent over it, can be narrow, and can be cut. */
export class Road {
  port = 0;
  /** Bytes from browsers to the server. */
  sent = 0;
  private closed = false;
  private readonly sockets = new Set<net.Socket>();
  private listener: net.Server | null = null;

  /** `bytesPerSecond` is for each connection, towards the server. */
  static async to(server: Server, bytesPerSecond = Infinity): Promise<Road> {
    const road = new Road();
    road.listener = net.createServer((inner) => road.carry(inner, server.port, bytesPerSecond));
    road.listener.listen(0, '127.0.0.1');
    await once(road.listener, 'listening');
    road.port = (road.listener.address() as net.AddressInfo).port;
    return road;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  private carry(inner: net.Socket, port: number, bytesPerSecond: number): void {
    if (this.closed) {
      inner.destroy();
      return;
    }
    const outer = net.connect(port, '127.0.0.1');
    for (const socket of [inner, outer]) {
      this.sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.sockets.delete(socket);
        inner.destroy();
        outer.destroy();
      });
    }
    outer.pipe(inner);
    inner.on('data', (chunk) => {
      this.sent += chunk.length;
      // The next piece is taken when this one has gone, and not before its time has come.
      inner.pause();
      const due = new Promise((resolve) => setTimeout(resolve, (chunk.length / bytesPerSecond) * 1000));
      outer.write(chunk, () => void due.then(() => inner.resume()));
    });
  }

  /** Cuts every connection, and takes none until it is mended. */
  cut(): void {
    this.closed = true;
    for (const socket of this.sockets) socket.destroy();
  }

  mend(): void {
    this.closed = false;
  }

  remove(): void {
    this.cut();
    this.listener?.close();
  }
}
