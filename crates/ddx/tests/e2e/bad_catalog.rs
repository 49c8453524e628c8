//! A catalog that another program locks, that is damaged, older, newer or gone: told in words, and
//! no byte is deleted for it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ddx_testkit::{Data, MIB, Server, Setup, Turn, Tus, Upload, from_env};

use crate::bad_disk::catalog;
use crate::kill::{Chance, seed};
use crate::totals::Totals;
use crate::{ledger_at_zero, setup};

/// Another program at the catalog: an operator's shell, a copy that runs.
struct Shell(Child);

impl Shell {
    /// Runs these statements, and keeps the connection with what they hold.
    fn holding(database: &Path, statements: &str) -> Result<Self> {
        const SCRIPT: &str = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1],isolation_level=None,timeout=10)\nfor s in sys.argv[2].split(';'): c.execute(s).fetchall()\nprint('done',flush=True)\nsys.stdin.read()";
        let mut child = Command::new("python3")
            .args(["-c", SCRIPT])
            .arg(database)
            .arg(statements)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start python3")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        ensure!(line.trim() == "done", "{statements}: {line:?}");
        Ok(Self(child))
    }

    fn release(mut self) -> Result<()> {
        let mut stdin = self.0.stdin.take().context("no input")?;
        stdin.write_all(b"\n")?;
        drop(stdin);
        ensure!(self.0.wait()?.success(), "the other program failed");
        Ok(())
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Files of all sorts, and an upload that has only begun.
struct Filled {
    server: Server,
    files: Vec<(String, Data)>,
    half: (Upload, Data),
}

const HALF: u64 = MIB + 77;

impl Filled {
    async fn new(setup: Setup) -> Result<Self> {
        let server = setup.start()?;
        let client = server.client();
        let mut files = Vec::new();
        for (seed, length) in [700, 16_000, 30_000, 400_000, 2 * MIB]
            .into_iter()
            .enumerate()
        {
            let data = Data::new(seed as u64, length);
            files.push((client.put_for_link("kept.bin", &data).await?, data));
        }
        let tus = Tus::new(&client);
        let data = Data::new(9, 3 * MIB);
        let upload = tus.create(Some(data.len()), "half.bin").await?;
        tus.patch(&upload.path, &data, 0..HALF).await?.expect(204)?;
        Ok(Self {
            server,
            files,
            half: (upload, data),
        })
    }

    fn stop(&mut self) -> Result<()> {
        let exit = self.server.terminate(Duration::from_secs(20))?;
        ensure!(exit.status.success(), "{exit:?}");
        Ok(())
    }

    /// All is there as it was sent, and the upload stands where it stood.
    async fn is_whole(&self) -> Result<()> {
        let client = self.server.client();
        for (link, data) in &self.files {
            client.fetch(link, data).await?;
        }
        let at = Tus::new(&client).offset(&self.half.0.path).await?;
        ensure!(at == HALF, "the upload stands at {at}");
        Ok(())
    }

    /// A start that must be refused with these words, and that leaves all files where they are.
    fn refuses(&mut self, what: &str, words: &[&str]) -> Result<()> {
        let before = all_segments(&self.server)?;
        let Err(error) = self.server.start_again() else {
            bail!("{what}: it started\n{}", self.server.log());
        };
        let told = format!("{error:#}");
        ensure!(!told.contains("panicked"), "{what}: {told}");
        for word in words {
            ensure!(told.contains(word), "{what}: no {word:?} in {told}");
        }
        ensure!(
            all_segments(&self.server)? == before,
            "{what}: files of the segment folder are gone"
        );
        Ok(())
    }
}

/// Every segment file with its length.
fn all_segments(server: &Server) -> Result<BTreeSet<(PathBuf, u64)>> {
    let mut found = BTreeSet::new();
    for folder in std::fs::read_dir(server.data_dir().join("segments"))? {
        for file in std::fs::read_dir(folder?.path())? {
            let file = file?;
            found.insert((file.path(), file.metadata()?.len()));
        }
    }
    Ok(found)
}

fn beside(server: &Server, ending: &str) -> PathBuf {
    let mut path = catalog(server).into_os_string();
    path.push(ending);
    PathBuf::from(path)
}

/// Puts a catalog in place as its whole, without the log of another one.
fn put_catalog(server: &Server, bytes: &[u8]) -> Result<()> {
    for ending in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(beside(server, ending)); // mostly there is none
    }
    std::fs::write(catalog(server), bytes)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_of_another_program_is_waited_for_or_told_and_loses_nothing() -> Result<()> {
    let _turn = Turn::shared()?;
    let totals = Totals::default();
    let mut filled = Filled::new(setup()).await?;
    let client = filled.server.client().patience(Duration::from_secs(30));
    let tus = Tus::new(&client);
    let database = catalog(&filled.server);
    let data = Data::new(3, 2 * MIB);
    let small = Data::new(4, 900);

    // A short one is waited for, without a sign of it.
    let upload = tus.create(Some(data.len()), "short.bin").await?;
    let lock = Shell::holding(&database, "BEGIN IMMEDIATE")?;
    totals.faults(1);
    let releasing = async {
        tokio::time::sleep(Duration::from_millis(1500)).await; // for so long the other program works
        lock.release()
    };
    let (released, patched, put, tiny) = tokio::join!(
        releasing,
        tus.finish_from(&upload.path, &data, 0),
        client.put_for_link("put.bin", &data),
        client.put_for_link("tiny.bin", &small),
    );
    released?;
    patched.context("tus under a short lock")?;
    filled
        .files
        .push((put.context("PUT under a short lock")?, data));
    filled.files.push((tiny.context("a small PUT")?, small));
    filled.files.push((upload.link()?.to_owned(), data));

    // A long one is told as passing, and reading goes on.
    let upload = tus.create(Some(data.len()), "long.bin").await?;
    tus.patch(&upload.path, &data, 0..MIB).await?.expect(204)?;
    let lock = Shell::holding(&database, "BEGIN EXCLUSIVE")?;
    totals.faults(1);
    let (link, kept) = &filled.files[3];
    let (patched, put, tiny, created, read, told) = tokio::join!(
        tus.patch(&upload.path, &data, MIB..data.len()),
        client.put("put.bin", &data),
        client.put("tiny.bin", &small),
        tus.post(&[("Upload-Length", "5000000")], &[]),
        client.fetch(link, kept),
        tus.offset(&filled.half.0.path),
    );
    for (what, answer) in [
        ("PATCH", patched),
        ("PUT", put),
        ("small PUT", tiny),
        ("POST", created),
    ] {
        let answer = answer.context(what)?;
        answer.field("retry-after").context(what)?;
        answer.expect_problem(503).context(what)?;
    }
    read.context("a lock for writing keeps nobody from reading")?;
    ensure!(told? == HALF);
    lock.release()?;
    let at = tus.offset(&upload.path).await?;
    totals.compare(MIB, at)?;
    tus.finish_from(&upload.path, &data, at).await?;
    totals.resumed();
    filled.files.push((upload.link()?.to_owned(), data));
    filled
        .files
        .push((client.put_for_link("after.bin", &data).await?, data));
    filled.is_whole().await?;
    ledger_at_zero(&client).await?;
    totals.round();
    totals.tell("R3 a locked catalog", 0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_beside_a_lock_goes_on_or_says_who_is_in_the_way() -> Result<()> {
    let _turn = Turn::shared()?;
    let mut filled = Filled::new(setup()).await?;
    let database = catalog(&filled.server);
    filled.server.kill_9()?;
    let lock = Shell::holding(&database, "BEGIN IMMEDIATE")?;
    filled
        .server
        .start_again()
        .context("who only reads needs not wait for a writer")?;
    let (link, data) = &filled.files[4];
    filled.server.client().fetch(link, data).await?;
    lock.release()?;
    filled.is_whole().await?;
    filled.server.kill_9()?;

    let lock = Shell::holding(&database, "PRAGMA locking_mode=EXCLUSIVE;BEGIN EXCLUSIVE")?;
    filled.refuses(
        "locked for all",
        &["catalog.sqlite3", "locked", "end the other program"],
    )?;
    lock.release()?;
    filled.server.start_again()?;
    filled.is_whole().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_that_is_gone_emptied_or_older_is_refused_and_no_file_is_deleted() -> Result<()> {
    let _turn = Turn::shared()?;
    let mut filled = Filled::new(setup()).await?;
    filled.stop()?;
    let old = std::fs::read(catalog(&filled.server))?;
    filled.server.start_again()?;
    let client = filled.server.client();
    let later = Data::new(77, 3 * MIB);
    let link = client.put_for_link("later.bin", &later).await?;
    filled.files.push((link.clone(), later));
    filled.stop()?;
    let newest = std::fs::read(catalog(&filled.server))?;
    let generation = filled.server.data_dir().join("catalog.generation");
    let number = std::fs::read(&generation)?;
    let remedy = ["catalog.sqlite3", "--accept-older-catalog"];

    put_catalog(&filled.server, &old)?;
    filled.refuses("older", &remedy)?;
    put_catalog(&filled.server, b"")?;
    filled.refuses("emptied", &remedy)?;
    std::fs::remove_file(catalog(&filled.server))?;
    filled.refuses("deleted", &remedy)?;
    // Also where nothing is left but the files.
    std::fs::remove_file(&generation)?;
    let _ = std::fs::remove_file(catalog(&filled.server)); // the refused start may have made an empty one
    filled.refuses("deleted with its number", &remedy)?;

    put_catalog(&filled.server, &newest)?;
    std::fs::write(&generation, &number)?;
    filled.server.start_again()?;
    filled.is_whole().await.context("the newest is put back")?;

    // It is the operator's to decide otherwise.
    filled.stop()?;
    put_catalog(&filled.server, &old)?;
    filled
        .server
        .change(|setup| setup.arg("--accept-older-catalog"));
    filled.server.start_again()?;
    filled.files.retain(|(kept, _)| *kept != link);
    filled.is_whole().await?;
    let status = client.get(&link).await?.status;
    ensure!(status == 404, "a file that no record knows: {status}");
    ledger_at_zero(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_gone_or_damaged_is_refused_and_no_file_is_deleted() -> Result<()> {
    let _turn = Turn::shared()?;
    let mut filled = Filled::new(setup()).await?;
    let client = filled.server.client();
    for seed in 0..20 {
        let data = Data::new(seed, 20_000);
        filled
            .files
            .push((client.put_for_link("l.bin", &data).await?, data));
    }
    filled.server.kill_9()?;
    let log = beside(&filled.server, "-wal");
    let whole = std::fs::read(&log)?;
    let remedy = ["catalog.sqlite3", "-wal", "--accept-older-catalog"];
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 4;
    for (what, bytes) in [
        ("a flipped bit", &damaged),
        ("emptied", &Vec::new()),
        ("all of 0xff", &vec![0xff; whole.len()]),
    ] {
        std::fs::write(&log, bytes)?;
        filled.refuses(what, &remedy)?;
        ensure!(
            std::fs::read(&log)? == *bytes,
            "{what}: the log was changed"
        );
    }
    std::fs::remove_file(&log)?;
    filled.refuses("deleted", &remedy)?;
    std::fs::write(&log, &whole)?;
    filled.server.start_again()?;
    filled.is_whole().await?;
    ledger_at_zero(&client).await
}

/// Ways to damage a catalog; `place` is chance's.
const DAMAGES: u64 = 7;

fn damage(kind: u64, sound: &[u8], chance: &mut Chance) -> (String, Vec<u8>) {
    let mut bytes = sound.to_vec();
    let length = bytes.len() as u64;
    let page = usize::try_from(chance.below(length / 4096) * 4096).unwrap_or(0);
    match kind {
        0 => {
            bytes[..100].fill(0xff);
            ("a header of 0xff".to_owned(), bytes)
        }
        1 => {
            let text = b"Dear operator, this was a text file all along. ".repeat(300);
            ("a text".to_owned(), text)
        }
        2 => {
            let keep = usize::try_from(4096 + chance.below(length - 4096)).unwrap_or(0);
            bytes.truncate(keep);
            (format!("cut at {keep}"), bytes)
        }
        3 => {
            bytes[page..page + 4096].fill(0xff);
            (format!("page at {page} of 0xff"), bytes)
        }
        4 => {
            bytes[page..page + 4096].fill(0);
            (format!("page at {page} of zeros"), bytes)
        }
        _ => {
            let places: Vec<usize> = (0..1 + chance.below(60))
                .map(|_| usize::try_from(chance.below(length)).unwrap_or(0))
                .collect();
            for place in &places {
                bytes[*place] ^= 1 << chance.below(8);
            }
            (format!("bits flipped at {places:?}"), bytes)
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_catalog_shows_no_wrong_byte_and_deletes_no_file() -> Result<()> {
    let _turn = Turn::shared()?;
    let (seed, totals) = (seed()?, Totals::default());
    let mut chance = Chance::new(seed);
    let mut filled = Filled::new(setup()).await?;
    filled.stop()?;
    let sound = std::fs::read(catalog(&filled.server))?;
    let generation = filled.server.data_dir().join("catalog.generation");
    let number = std::fs::read(&generation)?;
    let before = all_segments(&filled.server)?;
    for round in 0..from_env("DDX_CATALOG_ROUNDS", DAMAGES) {
        let (what, bytes) = damage(round % DAMAGES, &sound, &mut chance);
        let told = format!("DDX_SEED={seed}, round {round}: {what}");
        put_catalog(&filled.server, &bytes)?;
        std::fs::write(&generation, &number)?;
        totals.round();
        totals.faults(1);
        let ended = served_or_refused(&mut filled).await;
        println!("{told}: {}", ended.as_deref().unwrap_or("?"));
        ended.with_context(|| told.clone())?;
        ensure!(
            all_segments(&filled.server)? == before,
            "{told}: files of the segment folder are gone or cut"
        );
    }
    put_catalog(&filled.server, &sound)?;
    std::fs::write(&generation, &number)?;
    filled.server.start_again()?;
    filled.is_whole().await?;
    totals.compare(HALF, HALF)?; // as `is_whole` has just seen
    totals.tell("R3 a damaged catalog", seed)
}

/// Starts it; whether it serves or refuses, it does so in words and shows nothing that is wrong.
async fn served_or_refused(filled: &mut Filled) -> Result<&'static str> {
    if let Err(error) = filled.server.start_again() {
        let told = format!("{error:#}");
        ensure!(!told.contains("panicked"), "{told}");
        ensure!(
            told.contains("catalog.sqlite3") && told.contains("put the newest good copy"),
            "refused without a remedy: {told}"
        );
        return Ok("refused");
    }
    let client = filled.server.client().patience(Duration::from_secs(10));
    let mut served = 0;
    for (link, data) in &filled.files {
        match client.fetch(link, data).await {
            Ok(_) => served += 1,
            Err(error) => {
                let told = format!("{error:#}");
                ensure!(
                    !told.contains("differs") && !told.contains("within"),
                    "{link}: {told}"
                );
                ensure!(
                    !told.contains(&format!("of {} bytes", data.len())),
                    "{link}: cut short without a word: {told}"
                );
            }
        }
    }
    filled.server.kill_9()?;
    Ok(if served == filled.files.len() {
        "served all"
    } else {
        "served a part"
    })
}

/// What an older program left: its tables and the records of today's, without what came later.
fn downgrade(server: &Server, version: usize) -> Result<()> {
    const SCRIPT: &str = "import sqlite3,sys,os
path,version,folder=sys.argv[1],int(sys.argv[2]),sys.argv[3]
os.rename(path,path+'.today')
c=sqlite3.connect(path,isolation_level=None)
c.executescript('PRAGMA auto_vacuum=INCREMENTAL;PRAGMA journal_mode=WAL;PRAGMA application_id=%d'%int.from_bytes(b'DDXC','big'))
for name in sorted(os.listdir(folder))[:version]: c.executescript(open(os.path.join(folder,name)).read())
c.execute('ATTACH ? AS today',(path+'.today',))
for table in ('shares','files','uploads','inline_bytes','file_segments','file_parts'):
    columns=','.join(row[1] for row in c.execute(f'PRAGMA main.table_info({table})'))
    c.execute(f'INSERT INTO {table} ({columns}) SELECT {columns} FROM today.{table}')
c.execute('INSERT INTO doomed_segments SELECT * FROM today.pending_deletions')
c.execute('DETACH today')
c.execute(f'PRAGMA user_version={version}')
c.close()
os.remove(path+'.today')";
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../catalog/migrations");
    let output = Command::new("python3")
        .args(["-c", SCRIPT])
        .arg(catalog(server))
        .arg(version.to_string())
        .arg(folder)
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_earlier_catalog_is_copied_and_migrated_and_a_newer_one_is_refused() -> Result<()> {
    /// The oldest copies go when there are more.
    const COPIES_KEPT: usize = 3;
    let _turn = Turn::shared()?;
    let mut filled = Filled::new(setup()).await?;
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../catalog/migrations");
    let today = std::fs::read_dir(migrations)?.count();
    for version in 1..today {
        filled.stop()?;
        downgrade(&filled.server, version).with_context(|| format!("version {version}"))?;
        // An older program has no such file.
        std::fs::remove_file(filled.server.data_dir().join("catalog.generation"))?;
        filled.server.start_again()?;
        filled
            .is_whole()
            .await
            .with_context(|| format!("version {version}"))?;
        let copies = std::fs::read_dir(filled.server.data_dir().join("backups"))?.count();
        let kept = version.min(COPIES_KEPT);
        ensure!(copies == kept, "{copies} copies after version {version}");
    }
    filled.stop()?;
    Shell::holding(&catalog(&filled.server), "PRAGMA user_version=99")?.release()?;
    filled.refuses("newer", &["catalog.sqlite3", "99", "newer program"])?;
    let back = format!("PRAGMA user_version={today}");
    Shell::holding(&catalog(&filled.server), &back)?.release()?;
    filled.server.start_again()?;
    let (upload, data) = &filled.half;
    let tus = Tus::new(&filled.server.client());
    tus.finish_from(&upload.path, data, HALF).await?;
    filled.server.client().fetch(upload.link()?, data).await?;
    ledger_at_zero(&filled.server.client()).await
}
