//! The leases of all files, and which a request gets.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ddx_id::{FileId, LeaseId};
use ddx_memory::{Account, Charge, Ledger};
use tokio::sync::Notify;

use super::lease::{LEASE_BYTES, Lease};
use super::reader::{Mark, Reader};
use crate::config::Config;
use crate::error::Error;
use crate::upload::body::refused;

/// A request for bytes of a file whose number of downloads is limited.
#[derive(Debug)]
pub(super) struct Asked<'r> {
    pub(super) file_id: FileId,
    /// As many downloads are used up, as the record says.
    pub(super) downloads: u64,
    /// As many there are.
    pub(super) limit: u64,
    pub(super) reader: &'r Reader,
    /// Whether it asks for all bytes.
    pub(super) is_whole: bool,
    pub(super) now: i64,
}

#[derive(Debug, Default)]
struct File {
    /// As many downloads as are known to be used up: the record may be older.
    downloads: u64,
    leases: Vec<Lease>,
}

/// The leases of all files, and how many each client has.
#[derive(Debug, Default)]
pub(super) struct Leases {
    files: HashMap<FileId, File>,
    of_client: HashMap<Mark, usize>,
    count: usize,
}

impl Leases {
    pub(super) fn of_file(&self, file_id: FileId) -> impl Iterator<Item = &Lease> {
        let file = self.files.get(&file_id).into_iter();
        file.flat_map(|file| &file.leases)
    }

    pub(super) fn get_mut(&mut self, file_id: FileId, lease: LeaseId) -> Option<&mut Lease> {
        let leases = &mut self.files.get_mut(&file_id)?.leases;
        leases.iter_mut().find(|it| it.id == lease)
    }

    /// Notes that a reader had these bytes. Whether its download counts by that.
    pub(super) fn had(
        &mut self,
        file_id: FileId,
        lease: LeaseId,
        range: Range<u64>,
        length_bytes: u64,
    ) -> bool {
        let Some(file) = self.files.get_mut(&file_id) else {
            return false;
        };
        let Some(lease) = file.leases.iter_mut().find(|it| it.id == lease) else {
            return false;
        };
        lease.add(range);
        if lease.is_counted || lease.had_bytes() < length_bytes {
            return false;
        }
        lease.is_counted = true;
        file.downloads += 1;
        true
    }

    /// The lease by which the reader goes on, or `None` if one may begin.
    ///
    /// # Errors
    /// [`Error::DownloadsUsedUp`], [`Error::DownloadTaken`].
    pub(super) fn choose(
        &self,
        asked: &Asked<'_>,
        config: &Config,
    ) -> Result<Option<LeaseId>, Error> {
        let limit = asked.limit;
        let known = self
            .files
            .get(&asked.file_id)
            .map_or(0, |file| file.downloads);
        let downloads = known.max(asked.downloads);
        let live: Vec<&Lease> = self
            .of_file(asked.file_id)
            .filter(|lease| !lease.is_over(asked.now, config.download_lease))
            .collect();
        let own = || live.iter().filter(|lease| lease.is_of(asked.reader));
        let open = own().find(|lease| !lease.is_counted);
        if open.is_none() && !asked.is_whole {
            // What it has had it may have again in pieces: not all that went out has arrived.
            if let Some(counted) = own().next() {
                return Ok(Some(counted.id));
            }
        }
        let open = open.map(|lease| lease.id);
        let others = live.iter().filter(|lease| Some(lease.id) != open);
        let held = others.filter(|lease| lease.holds(config.preview_bytes));
        match downloads.saturating_add(held.count() as u64) < limit {
            true => Ok(open),
            false if downloads >= limit => Err(Error::DownloadsUsedUp { limit }),
            false => Err(Error::DownloadTaken),
        }
    }

    /// Whether a request is under way whose lease would hold nothing if it ended now.
    pub(super) fn may_be_free_soon(&self, file_id: FileId, preview_bytes: u64) -> bool {
        let mut leases = self.of_file(file_id);
        leases.any(|lease| lease.requests > 0 && lease.had_bytes() <= preview_bytes)
    }

    /// Begins a lease. Where there is no place, those go first that are over, then those by which
    /// no download is lost.
    ///
    /// # Errors
    /// [`Error::TooManyOfReader`], [`Error::TooManyReaders`], [`Error::NoMemory`].
    pub(super) fn begin(
        &mut self,
        asked: &Asked<'_>,
        id: LeaseId,
        config: &Config,
        ledger: &Ledger,
    ) -> Result<LeaseId, Error> {
        let now = asked.now;
        let mut charge = self.charge(asked.reader, config, ledger);
        if charge.is_err() {
            self.forget(|lease| lease.is_over(now, config.download_lease));
            charge = self.charge(asked.reader, config, ledger);
        }
        if charge.is_err() {
            self.forget(|lease| lease.can_go(now, config.preview_bytes));
            charge = self.charge(asked.reader, config, ledger);
        }
        let lease = Lease::new(id, asked.reader, now, charge?);
        self.count += 1;
        *self.of_client.entry(lease.client).or_default() += 1;
        let file = self.files.entry(asked.file_id).or_default();
        file.downloads = file.downloads.max(asked.downloads);
        file.leases.push(lease);
        Ok(id)
    }

    /// What one lease more needs.
    fn charge(&self, reader: &Reader, config: &Config, ledger: &Ledger) -> Result<Charge, Error> {
        let limit = config.readers_per_client_max;
        if self
            .of_client
            .get(&reader.client)
            .is_some_and(|own| *own >= limit)
        {
            return Err(Error::TooManyOfReader { limit });
        }
        let limit = config.readers_max;
        if self.count >= limit {
            return Err(Error::TooManyReaders { limit });
        }
        let charge = ledger.charge(Account::Readers, LEASE_BYTES);
        charge.map_err(refused)
    }

    /// Forgets those of which `is_done` holds.
    pub(super) fn forget(&mut self, is_done: impl Fn(&Lease) -> bool) {
        let Self {
            files,
            of_client,
            count,
        } = self;
        files.retain(|_, file| {
            file.leases.retain(|lease| {
                let is_done = is_done(lease);
                if is_done {
                    *count -= 1;
                    match of_client.get_mut(&lease.client) {
                        Some(own) if *own > 1 => *own -= 1,
                        _ => drop(of_client.remove(&lease.client)),
                    }
                }
                !is_done
            });
            !file.leases.is_empty()
        });
    }
}

/// The leases of all files behind their lock, and what tells that they changed.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    leases: Mutex<Leases>,
    pub(super) changed: Notify,
}

impl Readers {
    pub(super) fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the leases that are over.
    pub(crate) fn tidy(&self, now: i64, lasts: Duration) {
        self.leases().forget(|lease| lease.is_over(now, lasts));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        leases: Leases,
        ledger: Ledger,
        config: Config,
        now: i64,
    }

    impl World {
        fn new() -> Self {
            Self {
                leases: Leases::default(),
                ledger: Ledger::on_this_machine(ddx_memory::Config::default()).unwrap(),
                config: Config {
                    readers_max: 4,
                    readers_per_client_max: 3,
                    ..Config::default()
                },
                now: 0,
            }
        }

        /// Reads these bytes of a file of a million bytes that can be downloaded a hundred times.
        fn read(&mut self, client: &str, agent: &str, range: Range<u64>) -> Result<LeaseId, Error> {
            let reader = Reader::new(None, client, agent);
            let asked = Asked {
                file_id: FileId::from_bytes([7; 16]),
                downloads: 0,
                limit: 100,
                reader: &reader,
                is_whole: false,
                now: self.now,
            };
            let id = match self.leases.choose(&asked, &self.config)? {
                Some(id) => id,
                None => self
                    .leases
                    .begin(&asked, LeaseId::random(), &self.config, &self.ledger)?,
            };
            self.leases.had(asked.file_id, id, range, 1_000_000);
            Ok(id)
        }

        fn charged(&self) -> u64 {
            self.ledger.snapshot().account(Account::Readers)
        }
    }

    #[test]
    fn one_client_leaves_places_to_others_and_each_is_charged() {
        let mut world = World::new();
        for agent in ["a", "b", "c"] {
            world.read("one", agent, 0..500_000).unwrap();
        }
        let refused = world.read("one", "d", 0..1).unwrap_err();
        assert!(
            matches!(refused, Error::TooManyOfReader { limit: 3 }),
            "{refused}"
        );
        world.read("two", "a", 0..500_000).unwrap();
        let refused = world.read("three", "a", 0..1).unwrap_err();
        assert!(
            matches!(refused, Error::TooManyReaders { limit: 4 }),
            "{refused}"
        );
        assert_eq!(world.charged(), 4 * LEASE_BYTES);
        world.read("one", "b", 500_000..600_000).unwrap();
        world.leases.forget(|_| true);
        assert_eq!(world.charged(), 0);
        assert_eq!(world.leases.count, 0);
        assert!(world.leases.of_client.is_empty());
    }

    #[test]
    fn what_is_counted_or_little_makes_place_and_what_is_cut_does_not() {
        let mut world = World::new();
        let cut = world.read("one", "a", 0..500_000).unwrap();
        world.read("one", "b", 0..1_000_000).unwrap();
        world.read("one", "c", 0..1_000).unwrap();
        assert!(
            world.read("one", "d", 0..1).is_err(),
            "all have just been here"
        );
        world.now = 61_000;
        world.read("one", "d", 0..500_000).unwrap();
        assert_eq!(world.leases.count, 2);
        assert_eq!(world.read("one", "a", 500_000..500_001).unwrap(), cut);
        let file = world
            .leases
            .files
            .get(&FileId::from_bytes([7; 16]))
            .unwrap();
        assert_eq!(file.downloads, 1, "what was counted stays counted");
    }

    #[test]
    fn what_is_over_makes_place() {
        let mut world = World::new();
        for agent in ["a", "b", "c"] {
            world.read("one", agent, 0..500_000).unwrap();
        }
        world.now = 6 * 3_600_000;
        world.read("one", "d", 0..1).unwrap();
        assert_eq!(world.leases.count, 1);
        assert_eq!(world.charged(), LEASE_BYTES);
    }
}
