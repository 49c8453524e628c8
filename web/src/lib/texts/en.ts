// Every word that a person reads, in one place. A translation has the same shape, so a missing text
// does not compile.
import type { FailureCode } from '$upload/failures';
import type { Span } from '../span';

const s = (n: number): string => (n === 1 ? '' : 's');

export const en = {
  name: 'English',
  app: 'DirectDriveX',
  skip: 'Skip to content',
  theme: 'Theme',
  themes: { auto: 'System theme', light: 'Light theme', dark: 'Dark theme' },
  language: 'Language',
  sendLink: 'Upload files',

  span(left: Span): string {
    if (left.unit === 'moment') return 'a moment';
    if (left.unit === 'd') return `about ${left.value} day${s(left.value)}`;
    return `about ${en.shortSpan(left)}`;
  },
  shortSpan(left: Span): string {
    if (left.unit === 'moment') return 'a moment';
    const rest = left.minutes ? ` ${left.minutes} min` : left.seconds ? ` ${left.seconds} s` : '';
    return `${left.value} ${left.unit}${rest}`;
  },
  /** Of a setting, which is exact. */
  duration(ms: number): string {
    for (const [unit, size] of [
      ['day', 86_400_000],
      ['hour', 3_600_000],
      ['minute', 60_000],
      ['second', 1_000],
    ] as const) {
      const value = ms / size;
      if (value >= 1 && (Number.isInteger(value) || value >= 2 || unit === 'second')) {
        const rounded = Math.floor(value);
        return `${rounded} ${unit}${s(rounded)}`;
      }
    }
    return '1 second';
  },
  percent: (value: number) => `${value}%`,
  files: (n: string, one: boolean) => (one ? '1 file' : `${n} files`),
  of: (part: string, whole: string) => `${part} of ${whole}`,
  titleBusy: (percent: number, left: string | null) => `${percent}%${left ? ` · ${left}` : ''}`,

  send: {
    title: 'Upload files',
    headline: 'Drop files here.',
    headlineTouch: 'Upload files.',
    sub: 'Get a link right away. Interrupted uploads pick up where they stopped.',
    again: 'New upload',
    chooseFiles: 'Select files',
    chooseFolder: 'Select a folder',
    camera: 'Take a photo',
    paste: 'or drop or paste them anywhere',
    kept: (duration: string) => `Kept for ${duration}`,
    keptForever: 'No expiry',
    resumes: 'Resumes automatically',
    reading: (n: string) => `Reading folders: ${n} files so far`,
    nothing: 'No files found.',
    skipped: (n: number) => `Skipped ${n} system file${s(n)} such as .DS_Store.`,
    unreadable: (names: string) => `Can’t be read: ${names}`,
    fileInput: 'Files to upload',
    folderInput: 'Folder to upload',
    dropNew: 'New upload',
    dropAdd: 'Add to the latest upload',
    dropHint: 'Drop anywhere on the page',
  },

  shareCard: {
    region: (n: string) => `Upload of ${n}`,
    preparing: 'Creating link…',
    sending: 'Uploading',
    waiting: 'Waiting for the server',
    paused: 'Paused',
    done: 'Uploaded',
    doneVerified: 'Uploaded and verified',
    failed: (n: string, one: boolean) => `${n} ${one ? 'was' : 'were'} not uploaded`,
    noLink: 'Waiting for the server to create the link.',
    linkReady: 'You can share this link now. Files appear as they upload.',
    linkDone: 'Anyone with this link can download the files.',
    linkPaused: 'You can share this link now. The rest follows when you resume.',
    pauseAll: 'Pause all',
    resumeAll: 'Resume',
    cancelAll: 'Cancel all',
    addFiles: 'Add files',
    addFolder: 'Add a folder',
    dismiss: 'Hide',
    progress: 'Overall progress',
    fileProgress: (name: string) => `Progress of ${name}`,
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
    queued: 'Waiting',
    connecting: 'Starting…',
    stands: 'No data is moving',
    finishing: 'Finishing…',
    place: (ahead: number, left: string) =>
      ahead === 0 ? `You are next, ${left}` : `${ahead} ahead of you, ${left}`,
    pausedAt: (percent: string) => `Paused at ${percent}`,
    received: 'Uploaded',
    checking: 'Uploaded, verifying…',
    verified: 'Uploaded and verified',
    cancelled: 'Cancelled',
    deleting: 'Deleting…',
    failed: 'Not uploaded',
    savedAs: (name: string) => `saved as “${name}”`,
    undo: 'Undo',
    pause: (name: string) => `Pause ${name}`,
    resume: (name: string) => `Resume ${name}`,
    retry: (name: string) => `Retry ${name}`,
    cancel: (name: string) => `Cancel ${name}`,
    remove: (name: string) => `Delete ${name} from the server`,
    folder: (name: string, files: string) => `${name}, ${files}`,
    folded: (files: string) => `${files} uploaded`,
    failedIn: (n: number) => `${n} failed`,
  },

  outage: {
    title: 'Can’t reach the server',
    offline: 'No network connection',
    busyTitle: 'Server is busy',
    safe: (size: string) => `${size} saved.`,
    next: (left: string) => `Reconnecting in ${left}.`,
    nextBusy: (left: string) => `Retrying in ${left}.`,
    trying: 'Reconnecting…',
    tryNow: 'Retry now',
  },

  failures: {
    retry: (n: string, one: boolean) => (one ? 'Retry 1 file' : `Retry ${n} files`),
    title: 'Not uploaded',
    drop: 'Remove',
  },
  failure(code: FailureCode, limit: string | null): string {
    switch (code) {
      case 'too-large':
        return limit ? `Too large (limit ${limit})` : 'Too large for this server';
      case 'no-space':
        return limit ? `Not enough space (${limit} free)` : 'Not enough space on the server';
      case 'name-too-long':
        return 'Name is too long';
      case 'source-lost':
        return 'Changed or moved since you selected it. Select it again.';
      case 'gone':
        return 'No longer on the server';
      case 'taken':
        return 'A file with this name already exists under this link';
      case 'differs':
        return 'Changed while it was uploading';
      case 'forbidden':
        return 'Not allowed by the server';
      case 'server':
        return 'Server error, several attempts failed';
      case 'refused':
        return 'Rejected by the server';
    }
  },

  unfinished: {
    title: (n: string, one: boolean, kept: string) =>
      `${one ? '1 file' : `${n} files`} unfinished, ${kept} saved`,
    from: (date: string) => `From ${date}`,
    go: 'Continue',
    pickFiles: 'Select the same files',
    pickFolder: 'Select the same folder',
    hint: 'Files are recognized by name, size and date. Only what is missing is uploaded.',
    forget: 'Discard',
    notThese: 'These are not the files of this upload. Select the same files again.',
    others: (n: number) => `${n} other file${n === 1 ? ' was' : 's were'} not uploaded.`,
  },

  live: {
    started: (files: string) => `Upload of ${files} started. The link is ready to copy.`,
    at: (percent: number) => `${percent} percent uploaded`,
    done: (files: string) => `Upload finished: ${files}.`,
    failed: (files: string) => `Not uploaded: ${files}.`,
    outage: 'Can’t reach the server. Retrying.',
    back: 'Reconnected.',
    copied: 'Link copied',
    deleted: (what: string) => `${what} will be deleted. You can undo this for 5 seconds.`,
    cancelled: (what: string) => `${what} cancelled. You can undo this for 5 seconds.`,
    undone: (what: string) => `${what} restored`,
    hidden: (files: string) => `Upload of ${files} hidden. Its link still works.`,
    discarded: (files: string) => `Unfinished upload of ${files} discarded`,
  },

  share: {
    arriving: (percent: string, left: string | null) =>
      `Uploading, ${percent}${left ? `, ${left} left` : ''}`,
    arrivingAll: 'Still uploading. This page updates automatically.',
    waitingServer: 'Waiting for its turn',
    stalled: (percent: string) => `${percent} uploaded. Sender’s connection has stalled.`,
    senderAway: (percent: string) => `${percent} uploaded. Sender is paused or offline.`,
    failed: 'Can’t be downloaded: the file is damaged on the server',
    incomplete: 'Can’t be downloaded: the upload failed',
    download: 'Download',
    downloadOf: (name: string) => `Download ${name}`,
    downloadAll: (n: string) => `Download all ${n}`,
    until: (date: string) => `Available until ${date}`,
    missing: 'This link has expired or doesn’t exist.',
    missingHint: 'The files may have been deleted, or the address is incomplete.',
    unreachable: 'Can’t reach the server.',
    unreachableHint: 'This page continues automatically when the server is back.',
    away: 'Can’t reach the server. Downloads work again when it is back.',
    loading: 'Loading…',
    listing: (size: string) => `${size} so far. More files are being listed…`,
    again: 'Try again',
    empty: 'No files yet. This page updates automatically.',
    digestOf: (name: string) => `Checksum and command line for ${name}`,
    digestHint: 'To verify your download, compare this command’s output with the checksum above:',
    copyDigest: 'Copy checksum',
    total: (files: string, size: string) => `${files}, ${size}`,
    command: 'To download from the command line. If interrupted, run it again to resume:',
    copyCommand: 'Copy command',
  },

  footer: {
    upTo: (size: string) => `Up to ${size} per file`,
    free: (size: string) => `${size} free`,
    version: (version: string) => `Version ${version}`,
    help: 'Help',
    api: 'API',
    resume:
      'If an upload is interrupted, open this page again in the same browser and select the same files.',
    command: 'To upload from the command line:',
  },

  missing: { title: 'Page not found', back: 'Go to start' },
};

export type Texts = typeof en;
