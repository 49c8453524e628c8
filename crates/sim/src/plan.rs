//! What one seed asks for: users, their uploads, request by request, and everything that goes
//! wrong.
//!
//! A plan is a list of independent things, so that a failing one is made smaller by leaving things
//! out. What is left out is replaced by honest behaviour: a client whose planned requests are over
//! goes on with plain ones until its upload is whole.

use ddx_storage::conformance::Random;

/// Everything that one life of the simulated server goes through.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Drives all that is not listed: delays, ids, which blocks a power cut takes.
    pub seed: u64,
    /// The machine and the settings.
    pub setting: Setting,
    /// What clients send, in no order but their starts.
    pub uploads: Vec<Upload>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

/// The machine and what its operator set. All in bytes or milliseconds.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// The size of the disk.
    pub disk_bytes: u64,
    /// Files of at most this size live in the catalog.
    pub inline_bytes_max: u64,
    /// The smallest buffer.
    pub buffer_bytes_min: u64,
    /// The largest buffer.
    pub buffer_bytes_max: u64,
    /// After how many bytes an upload is made durable on its way.
    pub checkpoint_bytes: u64,
    /// How often it is made durable on its way.
    pub checkpoint_ms: u64,
    /// The slowest disk call, in ordinary times.
    pub disk_ms: u64,
    /// The slowest commit, in ordinary times.
    pub commit_ms: u64,
    /// Whether every file gets its SHA-256.
    pub sha256_always: bool,
    /// For how long an upload is kept to which nothing comes.
    pub upload_expires_ms: u64,
}

/// One file on its way to the server.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Names it, and its bytes: they stay the same when others are left out.
    pub number: u64,
    /// Who sends it.
    pub user: u64,
    /// When its client begins.
    pub starts_ms: u64,
    /// How it comes.
    pub way: Way,
    /// Lengths of its parts, together its length. One, if it isn't joined from several.
    pub parts_bytes: Vec<u64>,
    /// Misbehaviour, of each part's client in turn.
    pub requests: Vec<Request>,
    /// A client downloads it while it arrives.
    pub is_followed: bool,
    /// What its client does in the end.
    pub end: End,
}

/// How a file comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// In one request that can't be continued; perhaps with its length, perhaps with a digest.
    Put {
        /// Whether its length is told.
        sized: bool,
    },
    /// In requests that can be continued.
    Resumable(Length),
    /// As parts, sent at the same time and joined.
    Joined {
        /// Asked for before the parts are there.
        early: bool,
    },
}

/// When a client tells the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// With the first request.
    AtOnce,
    /// With the first request that brings bytes.
    WithBytes,
    /// Never: the last request says that it is the last.
    AtTheEnd,
}

/// One request of a client that does not behave, or not like the others.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// How much of what is left it brings, in 256ths.
    pub share: u64,
    /// Bytes that come at once.
    pub chunk_bytes: u64,
    /// The pause between these.
    pub pause_ms: u64,
    /// How it ends.
    pub ending: Ending,
    /// The digest that goes with it.
    pub digest: Digest,
    /// A second request for the same bytes, so long after the first.
    pub twin_ms: Option<u64>,
    /// The client rests after it.
    pub rest_ms: u64,
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As it should.
    Whole,
    /// The connection is cut after so many 256ths.
    Cut(u64),
    /// After so many 256ths nothing comes any more, and the connection stays.
    Stall(u64),
    /// The client goes away after so many milliseconds, wherever its request is.
    Gone(u64),
}

/// A digest that goes with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// None.
    Without,
    /// The right one, in the head.
    Right,
    /// The right one, after the body.
    Trailing,
    /// Of other bytes: one of those that are sent was changed on the way.
    Wrong,
}

/// What a client does in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It keeps the file.
    Keep,
    /// It deletes the file when it is whole.
    Delete,
    /// It cancels the upload after its planned requests.
    Cancel,
    /// It goes for ever after its planned requests, and the upload is left to expire.
    Abandon,
}

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process ends after so many more events; with the power, or without.
    Crash {
        /// Events since the start before.
        after_events: u64,
        /// Whether what was not synced is lost.
        power: bool,
    },
    /// The server is asked to stop, and started again.
    Stop {
        /// Events since the start before.
        after_events: u64,
    },
    /// A call of the store fails.
    Disk {
        /// Which call, counted over the whole life.
        call: u64,
        /// In which way.
        how: DiskFault,
    },
    /// A transaction of the catalog fails.
    Catalog {
        /// Which, counted over the whole life.
        commit: u64,
        /// In which way.
        how: CatalogFault,
    },
    /// Work that blocks takes so much longer.
    Stall {
        /// Which piece of work, counted over the whole life.
        work: u64,
        /// How much.
        by_ms: u64,
    },
    /// Another program takes memory for a time.
    Neighbour {
        /// From when.
        at_ms: u64,
        /// How long.
        for_ms: u64,
        /// How much of the machine, in 256ths.
        share: u64,
        /// Whether tasks stall for it.
        stalls: bool,
    },
    /// The machine's memory can't be read for a time.
    Blind {
        /// From when.
        at_ms: u64,
        /// How long.
        for_ms: u64,
    },
    /// Another program takes space on the disk for a time.
    DiskNeighbour {
        /// From when.
        at_ms: u64,
        /// How long.
        for_ms: u64,
        /// How much of the disk, in 256ths.
        share: u64,
    },
    /// The time of day jumps.
    Clock {
        /// When.
        at_ms: u64,
        /// By how much, back where negative.
        by_ms: i64,
    },
}

/// How a call of the store fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// An I/O error.
    Io,
    /// A shortage of the moment.
    Passing,
    /// The disk is full.
    Full,
    /// The disk is full after a part; a read gives less than was asked.
    Short,
}

/// How a transaction fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatalogFault {
    /// The disk is full.
    Full,
    /// Another process holds the lock.
    Busy,
    /// An I/O error.
    Io,
}

/// Where uploads expire while their clients are still at work.
const SOON_EXPIRES_MS: u64 = 20_000;

fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[random.below(from.len() as u64) as usize]
}

impl Plan {
    /// The plan of this seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let random = &mut Random::new(seed ^ 0x706c_616e);
        let setting = Setting::random(random);
        let uploads = (0..1 + random.below(8))
            .map(|number| Upload::random(random, number, &setting))
            .collect();
        let mut faults = Vec::new();
        for _ in 0..random.below(5) {
            faults.push(Fault::crash(random));
        }
        // One life in four has no other fault: then every error is a mistake.
        if !random.once_in(4) {
            for _ in 0..random.below(8) {
                faults.push(Fault::random(random));
            }
        }
        Self {
            seed,
            setting,
            uploads,
            faults,
        }
    }

    /// Plans with a little less in them, the smallest first.
    #[must_use]
    pub fn smaller(&self) -> Vec<Self> {
        let mut smaller = Vec::new();
        let mut add = |change: &dyn Fn(&mut Self)| {
            let mut plan = self.clone();
            change(&mut plan);
            smaller.push(plan);
        };
        if self.uploads.len() > 2 {
            let half = self.uploads.len() / 2;
            add(&|plan| plan.uploads.truncate(half));
            add(&|plan| drop(plan.uploads.drain(..half)));
        }
        if self.faults.len() > 2 {
            let half = self.faults.len() / 2;
            add(&|plan| plan.faults.truncate(half));
            add(&|plan| drop(plan.faults.drain(..half)));
        }
        for index in 0..self.uploads.len() {
            add(&|plan| drop(plan.uploads.remove(index)));
        }
        for index in 0..self.faults.len() {
            add(&|plan| {
                plan.faults.remove(index);
            });
        }
        for (index, upload) in self.uploads.iter().enumerate() {
            for request in 0..upload.requests.len() {
                add(&|plan| {
                    plan.uploads[index].requests.remove(request);
                });
            }
            if upload.parts_bytes.len() > 1 {
                add(&|plan| {
                    plan.uploads[index].parts_bytes.pop();
                });
            }
            if upload.is_followed {
                add(&|plan| plan.uploads[index].is_followed = false);
            }
            if upload.end != End::Keep {
                add(&|plan| plan.uploads[index].end = End::Keep);
            }
        }
        smaller
    }
}

impl Setting {
    fn random(random: &mut Random) -> Self {
        Self {
            memory_bytes: pick(random, &[8, 12, 16, 64]) << 20,
            disk_bytes: pick(random, &[2, 4, 16]) << 20,
            inline_bytes_max: pick(random, &[0, 1 << 10, 16 << 10]),
            buffer_bytes_min: pick(random, &[4, 16]) << 10,
            buffer_bytes_max: pick(random, &[16, 64, 256]) << 10,
            checkpoint_bytes: pick(random, &[8 << 10, 64 << 10, 256 << 20]),
            checkpoint_ms: pick(random, &[20, 500, 5_000]),
            disk_ms: pick(random, &[0, 2, 10, 50]),
            commit_ms: pick(random, &[0, 2, 20, 80]),
            sha256_always: random.once_in(8),
            upload_expires_ms: pick(random, &[SOON_EXPIRES_MS, 1_200_000, 1_200_000, 1_200_000]),
        }
    }
}

impl Upload {
    fn random(random: &mut Random, number: u64, setting: &Setting) -> Self {
        let way = match random.below(8) {
            0 | 1 => Way::Put {
                sized: random.once_in(2),
            },
            2 => Way::Joined {
                early: random.once_in(2),
            },
            _ => Way::Resumable(pick(
                random,
                &[
                    Length::AtOnce,
                    Length::AtOnce,
                    Length::WithBytes,
                    Length::AtTheEnd,
                ],
            )),
        };
        let parts = match way {
            Way::Joined { .. } => 1 + random.below(3),
            _ => 1,
        };
        let end = match random.below(12) {
            0 => End::Delete,
            1 => End::Cancel,
            2 => End::Abandon,
            _ => End::Keep,
        };
        Self {
            number,
            user: random.below(3),
            starts_ms: random.below(2_000),
            way,
            parts_bytes: (0..parts).map(|_| length(random, setting)).collect(),
            requests: (0..random.below(6))
                .map(|_| Request::random(random, setting))
                .collect(),
            is_followed: random.once_in(4),
            end,
        }
    }

    /// The file's length.
    #[must_use]
    pub fn length_bytes(&self) -> u64 {
        self.parts_bytes.iter().sum()
    }
}

fn length(random: &mut Random, setting: &Setting) -> u64 {
    let block = 4096;
    match random.below(10) {
        0 => random.below(3),
        1 => setting.inline_bytes_max + random.below(3),
        2 => block * (1 + random.below(6)),
        3..=6 => random.below(40_000),
        7 | 8 => random.below(120_000),
        _ => random.below(300_000),
    }
}

impl Request {
    fn random(random: &mut Random, setting: &Setting) -> Self {
        let ending = match random.below(8) {
            0 | 1 => Ending::Cut(random.below(257)),
            2 => Ending::Stall(random.below(257)),
            3 => Ending::Gone(random.below(300)),
            _ => Ending::Whole,
        };
        let digest = match random.below(10) {
            0 => Digest::Right,
            1 => Digest::Trailing,
            2 => Digest::Wrong,
            _ => Digest::Without,
        };
        Self {
            share: pick(random, &[20, 100, 256, 256]),
            chunk_bytes: pick(random, &[700, 4_096, 9_000, 1 << 20]),
            pause_ms: pick(random, &[0, 0, 3, 40, 400]),
            ending,
            digest,
            twin_ms: random.once_in(6).then(|| random.below(200)),
            rest_ms: match setting.upload_expires_ms {
                // Until about the moment at which the upload is over.
                SOON_EXPIRES_MS if random.once_in(3) => {
                    SOON_EXPIRES_MS - 3_000 + random.below(4_000)
                }
                _ => pick(random, &[0, 0, 10, 3_000]),
            },
        }
    }

    /// A client that does what it should.
    #[must_use]
    pub fn honest() -> Self {
        Self {
            share: 256,
            chunk_bytes: 1 << 20,
            pause_ms: 0,
            ending: Ending::Whole,
            digest: Digest::Without,
            twin_ms: None,
            rest_ms: 0,
        }
    }
}

impl Fault {
    fn crash(random: &mut Random) -> Self {
        // Most ends come while there is much to lose, some during the start itself.
        let after_events = match random.below(3) {
            0 => 1 + random.below(40),
            1 => 1 + random.below(300),
            _ => 1 + random.below(1_500),
        };
        match random.below(8) {
            0 => Self::Stop { after_events },
            1 | 2 => Self::Crash {
                after_events,
                power: false,
            },
            _ => Self::Crash {
                after_events,
                power: true,
            },
        }
    }

    fn random(random: &mut Random) -> Self {
        let at_ms = random.below(6_000);
        let for_ms = 1 + random.below(20_000);
        match random.below(14) {
            0..=4 => Self::Disk {
                call: random.below(200),
                how: pick(
                    random,
                    &[
                        DiskFault::Io,
                        DiskFault::Passing,
                        DiskFault::Full,
                        DiskFault::Short,
                    ],
                ),
            },
            5..=6 => Self::Catalog {
                commit: random.below(100),
                how: pick(
                    random,
                    &[CatalogFault::Full, CatalogFault::Busy, CatalogFault::Io],
                ),
            },
            7..=8 => Self::Stall {
                work: random.below(200),
                by_ms: random.below(4_000),
            },
            9..=10 => Self::Neighbour {
                at_ms,
                for_ms,
                share: 64 + random.below(193),
                stalls: random.once_in(2),
            },
            11 => Self::Blind { at_ms, for_ms },
            12 => Self::DiskNeighbour {
                at_ms,
                for_ms,
                share: 64 + random.below(193),
            },
            _ => Self::Clock {
                at_ms,
                by_ms: random.below(4_000_000) as i64 - 2_000_000,
            },
        }
    }
}
