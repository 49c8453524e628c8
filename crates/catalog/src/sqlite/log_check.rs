//! Finding damage in the log before SQLite reads over it.
//!
//! SQLite ends its reading of a write-ahead log at the first frame whose checksum is wrong, and
//! takes it for the unfinished write of a crash. Where it is damage instead, all commits after it
//! are lost without a word, and recovery would delete the segments that only they named. The two
//! can be told apart: each commit is flushed before the next begins, so a crash leaves at most one
//! commit unfinished. Checksums go on from frame to frame, so a row of frames behind the break that
//! agree with each other is seen; if two commits end in such a row, the break is none that a crash
//! can have made.
//!
//! What this can't see is a log that was cut off, and damage in its very last commit: see
//! `docs/SEMANTICS.md`.

use crate::{Error, ErrorKind};
use std::fs::File;
use std::io::{BufReader, ErrorKind as IoKind, Read};
use std::path::{Path, PathBuf};

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// The last bit tells the order of bytes in which checksums are computed.
const MAGIC: u32 = 0x377f_0682;
/// So many commits behind a break are no accident.
const COMMITS_MIN: u32 = 2;

/// Where the log of the catalog at `database` is.
pub(super) fn path_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// Looks through the log of the catalog at `database`, if there is one.
///
/// # Errors
/// [`ErrorKind::Older`] if commits lie behind damage, or if it can't be read.
pub(super) fn check(database: &Path) -> Result<(), Error> {
    let path = path_of(database);
    let failed = |error| Error::of_file(&format!("can't read {}", path.display()), error);
    let file = match File::open(&path) {
        Err(error) if error.kind() == IoKind::NotFound => return Ok(()),
        opened => opened.map_err(failed)?,
    };
    let broken = commits_behind_a_break(BufReader::with_capacity(256 << 10, file));
    let Some(frame) = broken.map_err(failed)? else {
        return Ok(());
    };
    let detail = format!(
        "{} is damaged at frame {frame}, and the changes after it can't be read. With it the server would delete the files of these changes",
        path.display()
    );
    Err(Error::new(ErrorKind::Older, detail).with_remedy(
        "put the newest good copy of this file in its place, or a copy of catalog.sqlite3 and no -wal file; if there is none, start once \
         with `--accept-older-catalog`",
    ))
}

/// The place of the first frame that does not agree with those before it, if commits follow.
fn commits_behind_a_break(mut log: impl Read) -> std::io::Result<Option<u64>> {
    let mut header = [0; HEADER_BYTES];
    if !fill(&mut log, &mut header)? {
        return Ok(None);
    }
    let (magic, page_bytes) = (word(&header, 0), word(&header, 8) as usize);
    if magic & !1 != MAGIC || !(512..=65_536).contains(&page_bytes) {
        return Ok(None); // no log that SQLite would read: what was in it is missed by its generation
    }
    let sum = Sum(magic & 1 == 1);
    let mut chain = (word(&header, 24), word(&header, 28));
    if sum.of((0, 0), &header[..24]) != chain {
        return Ok(None);
    }
    let mut frame = vec![0; FRAME_HEADER_BYTES + page_bytes];
    let (mut broken_at, mut commits) = (None, 0);
    let mut number = 0;
    while fill(&mut log, &mut frame)? {
        let (head, page) = frame.split_at(FRAME_HEADER_BYTES);
        let stored = (word(head, 16), word(head, 20));
        let is_of_this_log = head[8..16] == header[16..24];
        if is_of_this_log && sum.of(sum.of(chain, &head[..8]), page) == stored {
            commits += u32::from(broken_at.is_some() && word(head, 4) != 0);
            if commits >= COMMITS_MIN {
                return Ok(broken_at);
            }
        } else {
            broken_at = broken_at.or(Some(number));
            commits = 0;
        }
        chain = stored;
        number += 1;
    }
    Ok(None)
}

/// Reads all of `into`; false where the end comes before.
fn fill(log: &mut impl Read, into: &mut [u8]) -> std::io::Result<bool> {
    match log.read_exact(into) {
        Err(error) if error.kind() == IoKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(four)
}

/// The checksum of the format, over words whose highest byte comes first or last.
#[derive(Clone, Copy)]
struct Sum(bool);

impl Sum {
    fn of(self, from: (u32, u32), bytes: &[u8]) -> (u32, u32) {
        let (mut first, mut second) = from;
        for pair in bytes.chunks_exact(8) {
            let (a, b) = (word(pair, 0), word(pair, 4));
            let (a, b) = if self.0 {
                (a, b)
            } else {
                (a.swap_bytes(), b.swap_bytes())
            };
            first = first.wrapping_add(a).wrapping_add(second);
            second = second.wrapping_add(b).wrapping_add(first);
        }
        (first, second)
    }
}
