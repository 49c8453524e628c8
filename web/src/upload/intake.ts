// Turns a drop, a pick or a paste into files with paths. Everything that the browser hands over
// must be taken from the event at once: after the first await a DataTransfer is empty.

export interface Given {
  file: File;
  /** With its folders, as dropped: `photos/2026/a.jpg`, or just a name. */
  path: string;
}

export interface Intake {
  files: Given[];
  /** What can be opened again after a restart of the browser, where the browser can. */
  roots: FileSystemHandle[];
  /** Files that the system leaves in folders and that are not meant to be sent. */
  skipped: number;
  unreadable: string[];
}

const LITTER = /^(?:\.DS_Store|Thumbs\.db|desktop\.ini|\._.*)$/i;
const READ_AT_ONCE = 32;

export function emptyIntake(): Intake {
  return { files: [], roots: [], skipped: 0, unreadable: [] };
}

/**
 * True if a drag or a paste carries real files, not a link, a text or a picture out of this page.
 */
export function carriesFiles(data: DataTransfer | null): boolean {
  return data !== null && data.types.includes('Files');
}

export async function fromTransfer(
  data: DataTransfer,
  progress: (found: number) => void,
): Promise<Intake> {
  const intake = emptyIntake();
  const entries: FileSystemEntry[] = [];
  const handles: Promise<FileSystemHandle | null>[] = [];
  const loose: File[] = [];
  for (const item of data.items) {
    if (item.kind !== 'file') continue;
    const handle = (item as HandleItem).getAsFileSystemHandle?.();
    if (handle) handles.push(handle.catch(() => null));
    const entry = item.webkitGetAsEntry?.();
    if (entry) {
      entries.push(entry);
    } else {
      const file = item.getAsFile();
      if (file) loose.push(file);
    }
  }
  for (const file of loose) intake.files.push({ file, path: file.name });
  for (const entry of entries) await walk(entry, '', intake, progress);
  for (const handle of await Promise.all(handles)) if (handle) intake.roots.push(handle);
  return intake;
}

interface HandleItem extends DataTransferItem {
  getAsFileSystemHandle?(): Promise<FileSystemHandle | null>;
}

async function walk(
  entry: FileSystemEntry,
  under: string,
  into: Intake,
  progress: (n: number) => void,
): Promise<void> {
  const path = under + entry.name;
  if (entry.isFile) {
    if (under !== '' && LITTER.test(entry.name)) {
      into.skipped++;
      return;
    }
    try {
      const file = await new Promise<File>((resolve, reject) =>
        (entry as FileSystemFileEntry).file(resolve, reject),
      );
      into.files.push({ file, path });
    } catch {
      into.unreadable.push(path);
    }
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const children: FileSystemEntry[] = [];
  try {
    // readEntries hands out about a hundred at a time and an empty list at the end.
    for (;;) {
      const batch = await new Promise<FileSystemEntry[]>((resolve, reject) =>
        reader.readEntries(resolve, reject),
      );
      if (batch.length === 0) break;
      children.push(...batch);
    }
  } catch {
    into.unreadable.push(path);
  }
  children.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  for (let at = 0; at < children.length; at += READ_AT_ONCE) {
    // In order, though read together: each writes into a list of its own.
    const parts = await Promise.all(
      children.slice(at, at + READ_AT_ONCE).map(async (child) => {
        const part = emptyIntake();
        await walk(child, `${path}/`, part, () => {});
        return part;
      }),
    );
    for (const part of parts) append(into, part);
    progress(into.files.length);
  }
}

function append(into: Intake, part: Intake): void {
  for (const given of part.files) into.files.push(given);
  into.skipped += part.skipped;
  into.unreadable.push(...part.unreadable);
}

/** From `<input type="file">`, with or without `webkitdirectory`. */
export function fromList(list: Iterable<File>): Intake {
  const intake = emptyIntake();
  for (const file of list) {
    const path = file.webkitRelativePath || file.name;
    if (path.includes('/') && LITTER.test(file.name)) intake.skipped++;
    else intake.files.push({ file, path });
  }
  return intake;
}

/** A pasted picture has no name of its own worth keeping. */
export function fromPaste(list: Iterable<File>, now = new Date()): Intake {
  const intake = emptyIntake();
  for (const file of list) {
    const anonymous =
      /^image\.\w+$/.test(file.name) && Math.abs(now.getTime() - file.lastModified) < 60_000;
    const stamp = now.toISOString().slice(0, 19).replace('T', ' ').replaceAll(':', '.');
    const path = anonymous ? `pasted ${stamp}.${file.name.split('.').pop()}` : file.name;
    intake.files.push({ file, path });
  }
  return intake;
}

/**
 * From handles kept since an earlier visit. Must be called by a click: the browser may ask for
 * permission.
 */
export async function fromHandles(handles: FileSystemHandle[]): Promise<Intake> {
  const intake = emptyIntake();
  for (const handle of handles) {
    const asking = handle as AskingHandle;
    if ((await asking.requestPermission?.({ mode: 'read' })) === 'denied') continue;
    try {
      await walkHandle(handle, '', intake);
      intake.roots.push(handle);
    } catch {
      intake.unreadable.push(handle.name);
    }
  }
  return intake;
}

interface AskingHandle extends FileSystemHandle {
  requestPermission?(options: { mode: 'read' }): Promise<PermissionState>;
}

async function walkHandle(handle: FileSystemHandle, under: string, into: Intake): Promise<void> {
  const path = under + handle.name;
  if (handle.kind === 'file') {
    if (under !== '' && LITTER.test(handle.name)) into.skipped++;
    else into.files.push({ file: await (handle as FileSystemFileHandle).getFile(), path });
    return;
  }
  for await (const child of (handle as IterableDirectory).values())
    await walkHandle(child, `${path}/`, into);
}

interface IterableDirectory extends FileSystemHandle {
  values(): AsyncIterable<FileSystemHandle>;
}

/** Paths that are unique among themselves and `taken`: the second `a.txt` becomes `a (2).txt`. */
export function uniquePath(path: string, taken: ReadonlySet<string>): string {
  if (!taken.has(path)) return path;
  const slash = path.lastIndexOf('/') + 1;
  const dot = path.lastIndexOf('.');
  const stem = dot > slash ? path.slice(0, dot) : path;
  const end = dot > slash ? path.slice(dot) : '';
  for (let n = 2; ; n++) {
    const candidate = `${stem} (${n})${end}`;
    if (!taken.has(candidate)) return candidate;
  }
}
