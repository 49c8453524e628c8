//! The command line: what is sent where, how much of it, and how long it may take.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::builder::{PossibleValuesParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::protocol::{Fetch, Protocol};
use crate::units;
use crate::verify::Verify;
use crate::work::mixed::{Kind, Mixed};
use crate::work::stall::{At, Stall};
use crate::work::{Create, Get, Large, Parts, Slow, Small, Work};

/// Connections and files that one run may ask for.
const COUNT_MAX: u64 = 1_000_000;
const THREADS_MAX: u64 = 64;

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) to: String,
    pub(crate) tus_path: String,
    pub(crate) protocol: Protocol,
    pub(crate) protocol_name: String,
    pub(crate) seed: u64,
    pub(crate) verify: Verify,
    pub(crate) fetch: Fetch,
    pub(crate) within: Duration,
    pub(crate) sources: Option<u64>,
    pub(crate) threads: usize,
    pub(crate) work: Work,
    pub(crate) work_name: String,
}

fn size(name: &'static str, help: &'static str) -> Arg {
    let read = ValueParser::from(units::size);
    Arg::new(name)
        .long(name)
        .value_name("SIZE")
        .value_parser(read)
        .help(help)
}

fn duration(name: &'static str, help: &'static str) -> Arg {
    let read = ValueParser::from(units::duration);
    Arg::new(name)
        .long(name)
        .value_name("TIME")
        .value_parser(read)
        .help(help)
}

fn count(name: &'static str, help: &'static str) -> Arg {
    let read = value_parser!(u64).range(1..=COUNT_MAX);
    Arg::new(name)
        .long(name)
        .value_name("N")
        .value_parser(read)
        .help(help)
}

fn rate() -> Arg {
    let read = value_parser!(u64).range(1..=COUNT_MAX);
    Arg::new("rate").long("rate").value_name("PER_SECOND").value_parser(read).help(
        "Start so many per second, whether or not the earlier ones have ended, and count from when each was due. Without it each connection starts its next as its last ends",
    )
}

fn choice(name: &'static str, values: &'static [&'static str], help: &'static str) -> Arg {
    let read = PossibleValuesParser::new(values);
    Arg::new(name).long(name).value_parser(read).help(help)
}

/// The whole command line.
pub(crate) fn command() -> Command {
    Command::new("ddx-load")
        .about("Loads an upload server, checks what it stored, and tells the result as one JSON object")
        .subcommand_required(true)
        .args_override_self(true)
        .args(shared())
        .subcommands([
            Command::new("large").about("Large files, all at once, each on a connection of its own").args([
                count("clients", "Files").default_value("1"),
                size("bytes", "Size of each").required(true),
                size("request-bytes", "Bytes of one PATCH at most (tus)"),
            ]),
            Command::new("parts").about("One file as parallel tus uploads that are then joined").args([
                count("parts", "Parts").default_value("4"),
                size("bytes", "Size of the whole file").required(true),
            ]),
            Command::new("slow").about("Many clients that send little, slowly").args([
                count("clients", "Clients").required(true),
                size("bytes", "Size of each file").default_value("64KiB"),
                duration("over", "Time from a request's opening to its last byte").default_value("20s"),
                duration("arrive", "Time over which the clients come, evenly").default_value("2s"),
                duration("step", "Time between two pieces of one client").default_value("1s"),
            ]),
            Command::new("small").about("Many small files over keep-alive connections").args([
                count("files", "Files").required(true),
                size("bytes", "Size of each").default_value("4KiB"),
                count("connections", "Connections").default_value("16"),
                rate(),
            ]),
            Command::new("create").about("tus creations only").args([
                count("count", "Creations").required(true),
                size("bytes", "Length that each announces").default_value("4KiB"),
                count("connections", "Connections").default_value("16"),
                rate(),
            ]),
            Command::new("get").about("Downloads to nowhere").args([
                Arg::new("path").long("path").value_name("PATH").required(true).action(ArgAction::Append)
                    .help("What to fetch, a path or a link; several are fetched in turn"),
                count("clients", "Downloads, all at once").default_value("1"),
                size("bytes", "Length that each must have"),
                Arg::new("file")
                    .long("file")
                    .value_name("K")
                    .value_parser(value_parser!(u64))
                    .help("Compare with the bytes of file number K of an earlier run with this --seed (the next path with K+1, and so on)"),
            ]),
            Command::new("stall").about("Connections that begin something and then do nothing").args([
                count("connections", "Connections").required(true),
                duration("for", "How long they wait").default_value("10s"),
                choice("where", &["head", "body", "idle"], "Where they stop: within a head, within a body, or before the first byte")
                    .required(true),
            ]),
            Command::new("mixed").about("All kinds at random, at a rate").args([
                duration("for", "How long clients come").default_value("30s"),
                rate().default_value("20"),
                Arg::new("weights").long("weights").value_name("KIND=N,…")
                    .default_value("large=1,small=20,slow=4,create=4,get=4")
                    .help("How often each kind comes, beside the others"),
                size("large-bytes", "Size of a large file").default_value("16MiB"),
                size("small-bytes", "Size of a small file").default_value("4KiB"),
                size("slow-bytes", "Size of a slow client's file").default_value("64KiB"),
                duration("slow-over", "Time that a slow client takes").default_value("5s"),
            ]),
        ])
}

fn shared() -> Vec<Arg> {
    let shared = vec![
        Arg::new("to")
            .long("to")
            .value_name("URL")
            .help("Base URL of the server")
            .required(false),
        choice(
            "protocol",
            &["put", "tus", "tus-with-upload", "post"],
            "How files are sent",
        )
        .default_value("put"),
        Arg::new("tus-path")
            .long("tus-path")
            .value_name("PATH")
            .default_value("/files")
            .help("Where tus uploads are created, below the base URL"),
        Arg::new("seed")
            .long("seed")
            .value_name("N")
            .value_parser(value_parser!(u64))
            .default_value("1")
            .help("What the bytes and names follow from"),
        Arg::new("verify")
            .long("verify")
            .value_name("all|N|none")
            .default_value("none")
            .help("How many files are fetched back and compared, after the clock has stopped"),
        choice(
            "fetch",
            &["same", "location", "answer"],
            "Where a file is fetched: where it was PUT, at its Location, or at the link in the answer (by default: location for tus, answer for put and post)",
        ),
        duration("within", "Time limit of the whole run").default_value("300s"),
        Arg::new("sources")
            .long("sources")
            .value_name("N")
            .value_parser(value_parser!(u64))
            .help(
                "Loopback addresses that connections come from (by default one for each thousand)",
            ),
        Arg::new("threads")
            .long("threads")
            .value_name("N")
            .value_parser(value_parser!(u64).range(1..=THREADS_MAX))
            .default_value("1")
            .help("Threads of this program"),
    ];
    shared.into_iter().map(|arg| arg.global(true)).collect()
}

/// Reads the command line's words.
pub(crate) fn asked(matches: &ArgMatches) -> Result<Asked> {
    let (name, of) = matches.subcommand().context("a subcommand is missing")?;
    let protocol_name = text(of, "protocol")?;
    let protocol = match protocol_name.as_str() {
        "tus" => Protocol::Tus,
        "tus-with-upload" => Protocol::TusWithUpload,
        "post" => Protocol::Post,
        _ => Protocol::Put,
    };
    let fetch = match of.get_one::<String>("fetch").map(String::as_str) {
        Some("same") => Fetch::Same,
        Some("location") => Fetch::Location,
        Some("answer") => Fetch::Answer,
        _ if matches!(protocol, Protocol::Put | Protocol::Post) => Fetch::Answer,
        _ => Fetch::Location,
    };
    let work = work(name, of, protocol)?;
    ensure!(
        fetch != Fetch::Same || protocol == Protocol::Put,
        "--fetch same: only --protocol put says where a file will lie; use location or answer"
    );
    Ok(Asked {
        to: text(of, "to")
            .context("--to is missing: the base URL of the server, as http://127.0.0.1:8000")?,
        tus_path: text(of, "tus-path")?,
        protocol,
        protocol_name,
        seed: number(of, "seed")?,
        verify: verify(&text(of, "verify")?)?,
        fetch,
        within: time(of, "within")?,
        sources: of.get_one::<u64>("sources").copied(),
        threads: usize::try_from(number(of, "threads")?)?,
        work,
        work_name: name.to_owned(),
    })
}

fn work(name: &str, of: &ArgMatches, protocol: Protocol) -> Result<Work> {
    let is_tus = protocol == Protocol::Tus;
    let work = match name {
        "large" => Work::Large(Large {
            clients: number(of, "clients")?,
            bytes: number(of, "bytes")?,
            request_bytes: of.get_one::<u64>("request-bytes").copied(),
        }),
        "parts" => Work::Parts(Parts {
            parts: number(of, "parts")?,
            bytes: number(of, "bytes")?,
        }),
        "slow" => Work::Slow(Slow {
            clients: number(of, "clients")?,
            bytes: number(of, "bytes")?,
            over: time(of, "over")?,
            arrive: time(of, "arrive")?,
            step: time(of, "step")?,
        }),
        "small" => Work::Small(Small {
            files: number(of, "files")?,
            bytes: number(of, "bytes")?,
            connections: number(of, "connections")?,
            rate: of.get_one::<u64>("rate").copied(),
        }),
        "create" => Work::Create(Create {
            count: number(of, "count")?,
            bytes: number(of, "bytes")?,
            connections: number(of, "connections")?,
            rate: of.get_one::<u64>("rate").copied(),
        }),
        "get" => Work::Get(Get {
            paths: of
                .get_many::<String>("path")
                .into_iter()
                .flatten()
                .cloned()
                .collect(),
            clients: number(of, "clients")?,
            bytes: of.get_one::<u64>("bytes").copied(),
            file: of.get_one::<u64>("file").copied(),
        }),
        "stall" => Work::Stall(Stall {
            connections: number(of, "connections")?,
            hold: time(of, "for")?,
            at: match text(of, "where")?.as_str() {
                "head" => At::Head,
                "body" => At::Body,
                _ => At::Idle,
            },
        }),
        "mixed" => Work::Mixed(Mixed {
            hold: time(of, "for")?,
            rate: number(of, "rate")?,
            weights: weights(&text(of, "weights")?, is_tus)?,
            large_bytes: number(of, "large-bytes")?,
            small_bytes: number(of, "small-bytes")?,
            slow_bytes: number(of, "slow-bytes")?,
            slow_over: time(of, "slow-over")?,
        }),
        _ => bail!("unknown work `{name}`"),
    };
    ensure!(
        is_tus || !matches!(work, Work::Parts(_) | Work::Create(_)),
        "`{name}` is made of tus requests: add --protocol tus"
    );
    if let Work::Large(Large {
        request_bytes: Some(bytes),
        ..
    }) = work
    {
        ensure!(
            is_tus,
            "--request-bytes: only --protocol tus sends a file in several requests"
        );
        ensure!(
            bytes > 0,
            "--request-bytes 0: a request must take the file further"
        );
    }
    if let Work::Parts(Parts { parts, bytes }) = work {
        ensure!(
            parts <= bytes,
            "--parts {parts} of --bytes {bytes}: each part needs a byte"
        );
    }
    if let Work::Slow(Slow { step, .. }) = work {
        ensure!(
            !step.is_zero(),
            "--step 0ms: between two pieces there must be some time"
        );
    }
    Ok(work)
}

fn weights(text: &str, is_tus: bool) -> Result<Vec<(Kind, u64)>> {
    let mut weights = Vec::new();
    for item in text.split(',') {
        let read = item.split_once('=').and_then(|(kind, weight)| {
            let kind = Kind::ALL.iter().find(|known| known.name() == kind.trim())?;
            Some((
                *kind,
                weight
                    .trim()
                    .parse()
                    .ok()
                    .filter(|&weight: &u64| weight <= COUNT_MAX)?,
            ))
        });
        let all: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        let read = read.with_context(|| {
            format!(
                "--weights `{item}`: give KIND=N, kinds are {} and N is up to {COUNT_MAX}",
                all.join(", ")
            )
        })?;
        // With other protocols nothing can be created alone.
        if read.0 != Kind::Create || is_tus {
            weights.push(read);
        }
    }
    ensure!(
        weights.iter().any(|(_, weight)| *weight > 0),
        "--weights {text}: no kind is left that ever comes"
    );
    Ok(weights)
}

fn verify(text: &str) -> Result<Verify> {
    match text {
        "all" => Ok(Verify::All),
        "none" | "0" => Ok(Verify::None),
        _ => match text.parse() {
            Ok(count) => Ok(Verify::Some(count)),
            Err(_) => bail!("--verify {text}: give all, none or how many files"),
        },
    }
}

fn number(of: &ArgMatches, name: &str) -> Result<u64> {
    let value = of.get_one::<u64>(name).copied();
    value.with_context(|| format!("--{name} is missing"))
}

fn time(of: &ArgMatches, name: &str) -> Result<Duration> {
    let value = of.get_one::<Duration>(name).copied();
    value.with_context(|| format!("--{name} is missing"))
}

fn text(of: &ArgMatches, name: &str) -> Result<String> {
    let value = of.get_one::<String>(name).cloned();
    value.with_context(|| format!("--{name} is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(words: &str) -> Result<Asked> {
        let words = std::iter::once("ddx-load").chain(words.split(' '));
        asked(&command().try_get_matches_from(words)?)
    }

    fn told(words: &str) -> String {
        format!("{:#}", given(words).err().unwrap())
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn shared_arguments_stand_before_or_behind_the_work() {
        for words in [
            "--to http://a --protocol tus --verify 3 large --bytes 1GiB",
            "large --bytes 1GiB --to http://a --protocol tus --verify 3",
        ] {
            let asked = given(words).unwrap();
            assert_eq!(asked.protocol, Protocol::Tus);
            assert_eq!(asked.fetch, Fetch::Location);
            assert_eq!(asked.verify, Verify::Some(3));
            let Work::Large(large) = asked.work else {
                panic!("{words}")
            };
            assert_eq!((large.clients, large.bytes), (1, 1 << 30));
        }
    }

    #[test]
    fn the_last_of_an_argument_counts_and_every_path_does() {
        let asked = given("--to http://a --seed 1 get --path /a --path /b --seed 2").unwrap();
        assert_eq!(asked.seed, 2);
        let Work::Get(get) = asked.work else {
            panic!("another work")
        };
        assert_eq!(get.paths, ["/a", "/b"]);
        assert_eq!(
            given("get --to http://a --path /a --seed 1 --seed 3")
                .unwrap()
                .seed,
            3
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_remedy() {
        assert!(told("large --bytes 1GiB").contains("--to is missing"));
        assert!(told("parts --to http://a --bytes 9").contains("add --protocol tus"));
        assert!(told("create --to http://a --count 9").contains("add --protocol tus"));
        assert!(
            told("large --to http://a --bytes 9 --request-bytes 1").contains("only --protocol tus")
        );
        assert!(
            told("parts --to http://a --protocol tus --bytes 3").contains("each part needs a byte")
        );
        assert!(told("small --to http://a --files 1 --verify some").contains("--verify some"));
        assert!(told("small --to http://a --files 0").contains("files"));
        assert!(told("slow --to http://a --clients 5 --bytes 1.5MiB").contains("whole numbers"));
        let same = "small --to http://a --files 1 --protocol tus --fetch same";
        assert!(told(same).contains("--fetch same"));
        assert!(told("mixed --to http://a --weights large=x").contains("kinds are"));
        assert!(told("mixed --to http://a --weights create=5").contains("no kind is left"));
    }
}
