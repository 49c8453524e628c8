import { expect, test } from 'vitest';
import { Announcements, type Look } from './announcements';

const look = (more: Partial<Look>): Look => ({
  files: 4,
  active: 2,
  paused: 0,
  failed: 0,
  percent: 0,
  open: true,
  ...more,
});

test('start, quarters and end are told once each', () => {
  const announcements = new Announcements();
  expect(announcements.since(look({}))).toEqual([
    'Upload of 4 files started. The link is ready to copy.',
  ]);
  expect(announcements.since(look({ percent: 20 }))).toEqual([]);
  expect(announcements.since(look({ percent: 60 }))).toEqual(['50 percent uploaded']);
  expect(announcements.since(look({ percent: 61 }))).toEqual([]);
  expect(announcements.since(look({ percent: 100, active: 0 }))).toEqual([
    'Upload finished: 4 files.',
  ]);
  expect(announcements.since(look({ percent: 100, active: 0 }))).toEqual([]);
});

test('what changes in the same moment is all told', () => {
  const announcements = new Announcements();
  announcements.since(look({}));
  expect(announcements.since(look({ percent: 25, failed: 1, open: false }))).toEqual([
    '25 percent uploaded',
    'Not uploaded: 1 file.',
    'Can’t reach the server. Retrying.',
  ]);
  expect(announcements.since(look({ percent: 75, failed: 2, active: 1 }))).toEqual([
    '75 percent uploaded',
    'Not uploaded: 2 files.',
    'Reconnected.',
  ]);
});

test('a file that fails as the upload ends is told, and an end with failures is no success', () => {
  const announcements = new Announcements();
  announcements.since(look({}));
  expect(announcements.since(look({ active: 0, failed: 1 }))).toEqual(['Not uploaded: 1 file.']);
  const other = new Announcements();
  other.since(look({ failed: 1 }));
  expect(other.since(look({ active: 0, failed: 1 }))).toEqual(['Not uploaded: 1 file.']);
});

test('a pause is no end', () => {
  const announcements = new Announcements();
  announcements.since(look({}));
  expect(announcements.since(look({ active: 0, paused: 2 }))).toEqual([]);
});
