// Every word that a person reads, in one place. A translation has the same shape, so a missing text does not compile.
import type { FailureCode } from '../../upload/failures';
import type { Span } from '../format';

const s = (n: number): string => (n === 1 ? '' : 's');

export const en = {
  name: 'English',
  app: 'DirectDriveX',
  skip: 'Skip to the content',
  theme: 'Colours',
  themes: { auto: 'System theme', light: 'Light theme', dark: 'Dark theme' },
  language: 'Language',
  version: (version: string) => `Version ${version}`,
  status: 'Status',
  sendLink: 'Send files',

  span(left: Span): string {
    if (left.unit === 'moment') return 'a moment';
    if (left.unit === 'h') return `about ${left.value} h${left.minutes ? ` ${left.minutes} min` : ''}`;
    if (left.unit === 'd') return `about ${left.value} day${s(left.value)}`;
    return `about ${left.value} ${left.unit}`;
  },
  shortSpan(left: Span): string {
    return left.unit === 'moment' ? 'a moment' : `${left.value} ${left.unit}`;
  },
  /** Of a setting, which is exact. */
  duration(ms: number): string {
    for (const [unit, size] of [['day', 86_400_000], ['hour', 3_600_000], ['minute', 60_000], ['second', 1_000]] as const) {
      const value = ms / size;
      if (value >= 1 && (Number.isInteger(value) || value >= 2 || unit === 'second')) {
        const rounded = Math.floor(value);
        return `${rounded} ${unit}${s(rounded)}`;
      }
    }
    return '1 second';
  },
  percent: (value: number) => `${value}\u00a0%`,
  files: (n: string, one: boolean) => (one ? '1 file' : `${n} files`),
  of: (part: string, whole: string) => `${part} of ${whole}`,
  titleBusy: (percent: number, left: string | null) => `${percent} %${left ? ` · ${left}` : ''}`,

  send: {
    title: 'Send files',
    headline: 'Drop files here.',
    headlineTouch: 'Send files.',
    sub: 'Whole folders too. You get the link at once, and an upload that is interrupted carries on where it stopped.',
    again: 'Another link',
    chooseFiles: 'Choose files',
    chooseFolder: 'Choose a folder',
    camera: 'Take a photo',
    paste: 'or paste, or drop anywhere',
    upTo: (size: string) => `Up to ${size} per file`,
    free: (size: string) => `${size} free`,
    kept: (duration: string) => `Kept for ${duration}`,
    keptForever: 'Kept until it is deleted',
    resumes: 'Resumes by itself',
    reading: (n: string) => `Reading folders, ${n} files so far`,
    nothing: 'There was no file in it.',
    skipped: (n: number) => `${n} system file${s(n)} left out (.DS_Store and the like).`,
    unreadable: (names: string) => `Could not be read: ${names}`,
    fileInput: 'Files to send',
    folderInput: 'Folder to send',
    dropNew: 'Drop for a new link',
    dropAdd: 'Add to the link below',
    dropHint: 'Let go anywhere on the page',
  },

  sheet: {
    region: (n: string) => `Upload of ${n}`,
    preparing: 'Making the link',
    sending: 'On its way',
    paused: 'Paused',
    done: 'All here',
    doneVerified: 'All here and verified',
    failed: (n: string) => `${n} could not be sent`,
    noLink: 'The link comes as soon as the server answers.',
    linkReady: 'The link works already. Whoever opens it sees the files arrive.',
    linkDone: 'Anyone who has this link can download.',
    linkPaused: 'The link works already. The rest arrives when you resume.',
    pauseAll: 'Pause all',
    resumeAll: 'Resume',
    cancelAll: 'Cancel all',
    addFiles: 'Add files',
    addFolder: 'Add a folder',
    dismiss: 'Put away',
    progress: 'Progress of all files',
    fileProgress: (name: string) => `Progress of ${name}`,
    keepOpen: 'Keep this page open until it is done. If it closes, give the same files again and it carries on.',
  },

  link: {
    label: 'Link to these files',
    copy: 'Copy link',
    copied: 'Copied',
    copyFailed: 'Press Ctrl+C to copy',
    share: 'Share',
    open: 'Open',
    qr: 'QR code',
    qrOf: (link: string) => `QR code of ${link}`,
    qrHint: 'Scan to open the link on another device.',
    close: 'Close',
  },

  row: {
    queued: 'Next in turn',
    connecting: 'Starting',
    stands: 'No data is moving',
    finishing: 'Being written to disk',
    place: (ahead: number, left: string) =>
      ahead === 0 ? `Next to be let in, ${left}` : `${ahead} ahead in the server’s queue, ${left}`,
    pausedAt: (percent: string) => `Paused at ${percent}`,
    received: 'Received',
    checking: 'Received, being checked',
    verified: 'Verified',
    cancelled: 'Cancelled',
    deleting: 'Deleting…',
    failed: 'Not uploaded',
    savedAs: (name: string) => `saved as “${name}”`,
    undo: 'Undo',
    pause: (name: string) => `Pause ${name}`,
    resume: (name: string) => `Resume ${name}`,
    retry: (name: string) => `Try ${name} again`,
    cancel: (name: string) => `Cancel ${name}`,
    remove: (name: string) => `Delete ${name} from the server`,
    folder: (name: string, n: string) => `${name}, ${n} files`,
    folded: (n: string) => `${n} files done`,
    failedIn: (n: number) => `${n} failed`,
    open: 'Show files',
  },

  outage: {
    title: 'Waiting for the server',
    offline: 'No network',
    busyTitle: 'The server asks to wait',
    safe: (size: string) => `${size} safe`,
    next: (left: string) => `next try in ${left}`,
    trying: 'trying now',
    tryNow: 'Try now',
    calm: 'Nothing is lost. It carries on by itself.',
  },

  failures: {
    retry: (n: string, one: boolean) => (one ? 'Retry 1 failed' : `Retry ${n} failed`),
    title: 'Not sent',
    drop: 'Take out',
  },
  failure(code: FailureCode, limit: string | null): string {
    switch (code) {
      case 'too-large':
        return limit ? `Too large (limit ${limit})` : 'Too large for this server';
      case 'no-space':
        return limit ? `Not enough space (${limit} free)` : 'Not enough space on the server';
      case 'name-too-long':
        return 'Its name is too long';
      case 'source-lost':
        return 'Changed or moved since it was picked. Pick it again';
      case 'gone':
        return 'The server no longer has what was sent';
      case 'taken':
        return 'There is a file of that name under this link already';
      case 'differs':
        return 'The file changed while it was sent';
      case 'forbidden':
        return 'The server does not allow it';
      case 'server':
        return 'The server failed on it again and again';
      case 'refused':
        return 'The server refused it';
    }
  },

  unfinished: {
    title: (n: string, one: boolean, kept: string) => `${one ? '1 file' : `${n} files`} unfinished, ${kept} kept`,
    from: (date: string) => `From ${date}`,
    go: 'Continue',
    pickFiles: 'Pick the files again',
    pickFolder: 'Pick the folder again',
    hint: 'Files are known again by name, size and date. What the server has is not sent twice.',
    forget: 'Discard',
    notThese: 'These are not the files of this upload. Select the same files again.',
    others: (n: number) => `${n} other file${n === 1 ? ' was' : 's were'} not uploaded.`,
  },

  live: {
    started: (files: string) => `Upload of ${files} started. The link is ready to copy.`,
    at: (percent: number) => `${percent} percent sent`,
    done: (files: string) => `Upload finished: ${files}.`,
    failed: (n: string) => `${n} could not be sent.`,
    outage: 'The server can’t be reached. Waiting.',
    back: 'The server is back. Going on.',
    copied: 'Link copied',
  },

  share: {
    title: 'Files for you',
    one: 'A file for you',
    arriving: (percent: string, left: string | null) => `arriving, ${percent}${left ? `, ${left}` : ''}`,
    arrivingAll: 'still arriving, this page follows along',
    waitingServer: 'waiting for its turn',
    stalled: (percent: string) => `${percent} here, waiting for the sender`,
    failed: 'Can’t be downloaded: the file is damaged on the server',
    incomplete: 'Can’t be downloaded: the upload failed',
    download: 'Download',
    downloadOf: (name: string) => `Download ${name}`,
    downloadAll: (n: string) => `Download all ${n}`,
    downloadAllOne: 'Download',
    preview: (name: string) => `Preview ${name}`,
    until: (date: string) => `until ${date}`,
    missing: 'This link has expired or doesn’t exist.',
    missingHint: 'The files may have been deleted, or the address is incomplete.',
    unreachable: 'The server can’t be reached.',
    again: 'Try again',
    empty: 'No file has arrived here yet. This page follows along.',
    digest: 'Check and command line',
    digestOf: (name: string) => `Digest of ${name}`,
    digestHint: 'To compare it with what you have:',
    copyDigest: 'Copy digest',
    total: (files: string, size: string) => `${files}, ${size}`,
    lost: 'Connection lost, looking again',
    previous: 'Previous',
    next: 'Next',
    cut: (size: string) => `The first ${size}`,
    noPreview: 'It can’t be shown here.',
    arrived: (name: string) => `${name} has arrived`,
    command: 'To download it on the command line, going on where it stopped:',
    copyCommand: 'Copy command',
  },

  system: {
    title: 'Status of this server',
    memory: 'Memory',
    rows: {
      buffers: 'Uploads in flight',
      connections: 'Connections',
      answers: 'Listings and live pages',
      socket_memory: 'Sockets',
      dirty_windows: 'On the way to disk',
      waiters: 'Waiting uploads',
      downloads: 'Downloads',
      reserve: 'Reserve',
      drift: 'Unaccounted',
    } as Record<string, string>,
    bands: { normal: 'Normal', constrained: 'Constrained', critical: 'Critical' } as Record<string, string>,
    free: 'Free for uploads',
    used: 'In use',
    total: 'Total',
    active: 'Active uploads',
    waiting: 'Waiting',
    slots: 'More could start now',
    lost: 'No figures at the moment. Looking again.',
    updated: 'Live',
  },

  missing: { title: 'No such page', back: 'To the start' },
};

export type Texts = typeof en;
