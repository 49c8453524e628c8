// A real server in a folder of its own, that can be killed and started again, and a road to it that
// can be cut.
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

const BINARY =
  process.env['DDX_BIN'] ?? path.resolve(import.meta.dirname, '../../target/debug/ddx');

/** A file up to this size travels inside its POST, a larger one by PATCH. */
const INLINE_BYTES_MAX = 256 << 10;

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
    const args = [
      'serve',
      '--listen',
      `127.0.0.1:${this.port}`,
      '--data-dir',
      path.join(this.folder, 'data'),
    ];
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

  /** How many bytes it has of a link's files that come by PATCH. */
  async received(link: string): Promise<number> {
    const { files } = await this.json<{ files: { size_bytes: number; received_bytes: number }[] }>(
      `/api/v1/shares/${link.split('/').pop() ?? ''}`,
    );
    const large = files.filter((file) => file.size_bytes > INLINE_BYTES_MAX);
    return large.reduce((sum, file) => sum + file.received_bytes, 0);
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

/** What one browser connection carries, and has not handed on yet. */
interface Line {
  inner: net.Socket;
  outer: net.Socket;
  /** Came from the browser and was not let through yet. */
  waiting: Buffer[];
  /** The part of a request's head that is there. */
  head: Buffer;
  /** Bytes of the request's body that are still to come. */
  left: number;
  /** The body is that of a PATCH. */
  isUpload: boolean;
  /** The browser has given the request up: nothing more of it goes on. */
  isOver: boolean;
}

interface Hold {
  /** Bytes of upload bodies that are let through. */
  holdAt?: number;
  /** While it holds, a byte of each body passes now and then: clients are slow, not silent. */
  drip?: boolean;
}

// Less than the time after which the server takes a client for slow and its buffer away (25 ms).
const DRIP_EVERY_MS = 5;
const NOTHING = Buffer.alloc(0);

/**
 * A road to the server that holds upload bodies at a count of bytes until it is told to let them
 * go, and can be cut. So a state of a transfer lasts for as long as a test looks at it, on a
 * machine of any speed.
 *
 * It reads the heads of requests, which is little more work than guessing by size: browsers send
 * several requests over one connection, and only the bodies of PATCH may be held. All else (HEAD,
 * DELETE, events, small files inside their POST) goes through at any time, and `passed` is exact to
 * the byte.
 *
 * What is held is not read from the browser either, as on any narrow road. So a browser that hangs
 * up meanwhile is not heard: its end stands behind the bytes that the system has buffered. `hungUp`
 * listens for it.
 */
export class Road {
  port = 0;
  /** Bytes of upload bodies that went to the server, over all connections. */
  passed = 0;
  private limit = Infinity;
  private closed = false;
  private readonly lines = new Set<Line>();
  private readonly looking = new Set<() => void>();
  private listener: net.Server | null = null;
  private dripping: ReturnType<typeof setInterval> | undefined;

  static async to(server: Server, { holdAt = Infinity, drip = false }: Hold = {}): Promise<Road> {
    const road = new Road();
    road.limit = holdAt;
    road.listener = net.createServer((inner) => road.carry(inner, server.port));
    road.listener.listen(0, '127.0.0.1');
    await once(road.listener, 'listening');
    road.port = (road.listener.address() as net.AddressInfo).port;
    if (drip) road.dripping = setInterval(() => road.drip(), DRIP_EVERY_MS);
    return road;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Lets upload bodies through up to this many bytes of them, counted from the road's first. */
  holdAt(bytes: number): void {
    this.limit = bytes;
    for (const line of this.lines) this.pass(line);
  }

  release(): void {
    this.holdAt(Infinity);
  }

  /** Waits until it holds bytes back: all that may go has gone. */
  async held(): Promise<void> {
    await this.until(() => this.heldLines().length > 0);
  }

  /**
   * Waits until the browser has ended what is held: after a pause, a cancel, a reload. What was
   * under way of it does not arrive. A browser that goes on sending is waited for in vain.
   */
  async hungUp(): Promise<void> {
    const over = this.heldLines();
    for (const line of over) {
      line.isOver = true;
      line.waiting = [];
      line.inner.resume();
    }
    await this.until(() => over.every((line) => !this.lines.has(line)));
  }

  /** Cuts every connection, and takes none until it is mended. */
  cut(): void {
    this.closed = true;
    for (const line of this.lines) this.end(line);
  }

  mend(): void {
    this.closed = false;
  }

  remove(): void {
    clearInterval(this.dripping);
    this.cut();
    this.listener?.close();
  }

  private carry(inner: net.Socket, port: number): void {
    if (this.closed) {
      inner.destroy();
      return;
    }
    const outer = net.connect(port, '127.0.0.1');
    const line: Line = {
      inner,
      outer,
      waiting: [],
      head: NOTHING,
      left: 0,
      isUpload: false,
      isOver: false,
    };
    this.lines.add(line);
    for (const socket of [inner, outer]) {
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => this.end(line));
    }
    outer.pipe(inner);
    outer.on('drain', () => this.pass(line));
    inner.on('data', (chunk) => {
      if (line.isOver) return;
      line.waiting.push(chunk);
      this.pass(line);
    });
  }

  private end(line: Line): void {
    this.lines.delete(line);
    line.inner.destroy();
    line.outer.destroy();
    this.look();
  }

  /** Hands on what may go, and reads more only when nothing is left. */
  private pass(line: Line): void {
    while (line.waiting.length > 0 && !line.outer.writableNeedDrain && !this.isHeld(line)) {
      const piece = line.waiting.shift()!;
      if (line.left > 0)
        this.passBody(line, piece, line.isUpload ? this.limit - this.passed : Infinity);
      else this.passHead(line, piece);
    }
    if (line.waiting.length > 0) line.inner.pause();
    else line.inner.resume();
    this.look();
  }

  private passHead(line: Line, piece: Buffer): void {
    line.head = Buffer.concat([line.head, piece]);
    const blank = line.head.indexOf('\r\n\r\n');
    if (blank < 0) return;
    const head = line.head.subarray(0, blank + 4);
    const rest = line.head.subarray(blank + 4);
    const text = head.toString('latin1');
    line.head = NOTHING;
    line.isUpload = text.startsWith('PATCH ');
    line.left = Number(/\r\ncontent-length: *(\d+)/i.exec(text)?.[1] ?? 0);
    if (rest.length > 0) line.waiting.unshift(rest);
    line.outer.write(head);
  }

  private passBody(line: Line, piece: Buffer, most: number): void {
    const part = piece.subarray(0, Math.min(line.left, most));
    if (part.length < piece.length) line.waiting.unshift(piece.subarray(part.length));
    line.left -= part.length;
    if (line.isUpload) this.passed += part.length;
    line.outer.write(part);
  }

  private isHeld(line: Line): boolean {
    return line.isUpload && line.left > 0 && line.waiting.length > 0 && this.passed >= this.limit;
  }

  private heldLines(): Line[] {
    return [...this.lines].filter((line) => this.isHeld(line));
  }

  private drip(): void {
    for (const line of this.heldLines()) {
      this.passBody(line, line.waiting.shift()!, 1);
      this.pass(line);
    }
  }

  private look(): void {
    for (const one of this.looking) one();
  }

  private async until(isSo: () => boolean): Promise<void> {
    if (isSo()) return;
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (!isSo()) return;
        this.looking.delete(look);
        resolve();
      };
      this.looking.add(look);
    });
  }
}
