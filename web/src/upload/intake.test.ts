import { describe, expect, test } from 'vitest';
import { carriesFiles, fromHandles, fromList, fromPaste, fromTransfer, uniquePath } from './intake';

function file(name: string, lastModified = 0): File {
  return new File(['x'], name, { lastModified });
}

// What a browser hands over at a drop, in its own shape: entries with callbacks, a directory in
// pieces.
interface Tree {
  [name: string]: Tree | 'file' | 'broken';
}
function entry(name: string, node: Tree | 'file' | 'broken'): FileSystemEntry {
  if (typeof node === 'string') {
    return {
      name,
      isFile: true,
      isDirectory: false,
      file: (resolve: (file: File) => void, reject: (error: Error) => void) =>
        node === 'broken' ? reject(new DOMException('gone', 'NotFoundError')) : resolve(file(name)),
    } as unknown as FileSystemEntry;
  }
  const children = Object.entries(node).map(([child, inner]) => entry(child, inner));
  return {
    name,
    isFile: false,
    isDirectory: true,
    createReader: () => {
      let at = 0;
      return {
        readEntries: (resolve: (entries: FileSystemEntry[]) => void) =>
          resolve(children.slice(at, (at += 100))),
      };
    },
  } as unknown as FileSystemEntry;
}
function transfer(tree: Tree): DataTransfer {
  const items = Object.entries(tree).map(([name, node]) => ({
    kind: 'file',
    webkitGetAsEntry: () => entry(name, node),
    getAsFile: () => null,
  }));
  return { items } as unknown as DataTransfer;
}
const silent = (): void => {};

describe('a drop', () => {
  test('of files and folders keeps the folders', async () => {
    const intake = await fromTransfer(
      transfer({ 'a.txt': 'file', trip: { 'b.txt': 'file', deep: { 'c.txt': 'file' } } }),
      silent,
    );
    expect(intake.files.map((one) => one.path)).toEqual(['a.txt', 'trip/b.txt', 'trip/deep/c.txt']);
  });

  test('of a folder with more than a hundred files takes all of them, in the order of their numbers', async () => {
    const many: Tree = {};
    for (let n = 250; n >= 1; n--) many[`img ${n}.jpg`] = 'file';
    const counts: number[] = [];
    const intake = await fromTransfer(transfer({ many }), (n) => counts.push(n));
    expect(intake.files.map((one) => one.path)).toEqual(
      Array.from({ length: 250 }, (_, n) => `many/img ${n + 1}.jpg`),
    );
    expect(counts.at(-1)).toBe(250);
    expect(counts.length).toBeGreaterThan(1);
  });

  test('leaves out what systems leave in folders, and says how many', async () => {
    const intake = await fromTransfer(
      transfer({
        d: {
          '.DS_Store': 'file',
          'Thumbs.db': 'file',
          'desktop.ini': 'file',
          '._a.txt': 'file',
          'a.txt': 'file',
          '.env': 'file',
        },
      }),
      silent,
    );
    expect(intake.files.map((one) => one.path)).toEqual(['d/.env', 'd/a.txt']);
    expect(intake.skipped).toBe(4);
  });

  test('sends such a file if it was dropped by itself', async () => {
    const intake = await fromTransfer(transfer({ '.DS_Store': 'file' }), silent);
    expect(intake.files.map((one) => one.path)).toEqual(['.DS_Store']);
  });

  test('names what can’t be read and takes the rest', async () => {
    const intake = await fromTransfer(
      transfer({ d: { 'bad.txt': 'broken', 'good.txt': 'file' } }),
      silent,
    );
    expect(intake.files.map((one) => one.path)).toEqual(['d/good.txt']);
    expect(intake.unreadable).toEqual(['d/bad.txt']);
  });

  test('of an empty folder is nothing', async () => {
    expect((await fromTransfer(transfer({ d: {} }), silent)).files).toEqual([]);
  });

  test('without entries takes the files, and no texts', async () => {
    const items = [
      { kind: 'string', webkitGetAsEntry: () => null, getAsFile: () => null },
      { kind: 'file', webkitGetAsEntry: () => null, getAsFile: () => file('a.txt') },
    ];
    const intake = await fromTransfer({ items } as unknown as DataTransfer, silent);
    expect(intake.files.map((one) => one.path)).toEqual(['a.txt']);
  });

  test('keeps the handles for a later visit, and does without those that are refused', async () => {
    const handle = { kind: 'file', name: 'a.txt' };
    const one = (given: Promise<unknown>) => ({
      kind: 'file',
      webkitGetAsEntry: () => entry('a.txt', 'file'),
      getAsFile: () => null,
      getAsFileSystemHandle: () => given,
    });
    const items = [one(Promise.resolve(handle)), one(Promise.reject(new Error('no')))];
    const intake = await fromTransfer({ items } as unknown as DataTransfer, silent);
    expect(intake.roots).toEqual([handle]);
    expect(intake.files).toHaveLength(2);
  });

  test('counts only if it carries real files', () => {
    expect(carriesFiles({ types: ['Files'] } as unknown as DataTransfer)).toBe(true);
    expect(carriesFiles({ types: ['text/uri-list', 'text/html'] } as unknown as DataTransfer)).toBe(
      false,
    );
    expect(carriesFiles(null)).toBe(false);
  });
});

describe('a pick', () => {
  const within = (path: string): File =>
    Object.defineProperty(file(path.split('/').pop()!), 'webkitRelativePath', { value: path });
  test('of files and of a folder', () => {
    const intake = fromList([file('a.txt'), within('d/b.txt'), within('d/.DS_Store')]);
    expect(intake.files.map((one) => one.path)).toEqual(['a.txt', 'd/b.txt']);
    expect(intake.skipped).toBe(1);
  });
});

describe('a paste', () => {
  const now = new Date(Date.UTC(2026, 10, 24, 9, 5, 7));
  test('of a picture has a name with its time', () => {
    expect(fromPaste([file('image.png', now.getTime() - 50)], now).files[0]!.path).toBe(
      'pasted 2026-11-24 09.05.07.png',
    );
  });
  test('of a real file keeps its name, also if it is called image.png', () => {
    expect(fromPaste([file('report.pdf', now.getTime())], now).files[0]!.path).toBe('report.pdf');
    expect(fromPaste([file('image.png', now.getTime() - 3_600_000)], now).files[0]!.path).toBe(
      'image.png',
    );
  });
});

describe('handles of an earlier visit', () => {
  const leaf = (name: string) => ({
    kind: 'file',
    name,
    getFile: () => Promise.resolve(file(name)),
  });
  const folder = (name: string, ...children: unknown[]) => ({
    kind: 'directory',
    name,
    values: async function* () {
      yield* children;
    },
  });
  const given = (...handles: unknown[]) => fromHandles(handles as FileSystemHandle[]);

  test('are opened with their folders', async () => {
    const intake = await given(
      leaf('a.txt'),
      folder('d', leaf('b.txt'), leaf('Thumbs.db'), folder('e', leaf('c.txt'))),
    );
    expect(intake.files.map((one) => one.path)).toEqual(['a.txt', 'd/b.txt', 'd/e/c.txt']);
    expect(intake.skipped).toBe(1);
    expect(intake.roots).toHaveLength(2);
  });

  test('that are refused are left out, and those that are gone are named', async () => {
    const refused = { ...leaf('no.txt'), requestPermission: () => Promise.resolve('denied') };
    const gone = { ...leaf('gone.txt'), getFile: () => Promise.reject(new Error('gone')) };
    const granted = { ...leaf('yes.txt'), requestPermission: () => Promise.resolve('granted') };
    const intake = await given(refused, gone, granted);
    expect(intake.files.map((one) => one.path)).toEqual(['yes.txt']);
    expect(intake.unreadable).toEqual(['gone.txt']);
    expect(intake.roots).toHaveLength(1);
  });
});

describe('paths are unique', () => {
  test.each([
    ['a.txt', [], 'a.txt'],
    ['a.txt', ['a.txt'], 'a (2).txt'],
    ['a.txt', ['a.txt', 'a (2).txt'], 'a (3).txt'],
    ['d/a.txt', ['a.txt'], 'd/a.txt'],
    ['d.x/a', ['d.x/a'], 'd.x/a (2)'],
    ['.env', ['.env'], '.env (2)'],
    ['d/.env', ['d/.env'], 'd/.env (2)'],
    ['a.tar.gz', ['a.tar.gz'], 'a.tar (2).gz'],
  ])('%s beside %j becomes %s', (path, taken, expected) => {
    expect(uniquePath(path, new Set(taken))).toBe(expected);
  });
});
