//! `ddx-floor`: what the machine itself allows, as the yardstick of every other figure.
//!
//! A thread reads a `PUT`'s body from the socket into aligned buffers, a second one hashes them
//! with BLAKE3 and writes them past the page cache, then `fdatasync`, then the answer. There is no
//! framework, ledger, catalog, queue or directory sync here, and nothing is bounded but heads and
//! connections: it is no server to be used, and what it leaves out is what the real one's figures
//! are compared with. A figure from a simpler loop (no digest, no sync) would be a floor under
//! no promise.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

mod connection;
mod file;

const USAGE: &str = "ddx-floor --listen ADDRESS:PORT --dir DIR [--clients-many]

  --listen        where to listen; port 0 takes a free one, and the first line of the output tells it
  --dir           an existing folder for the files, on a file system with direct I/O
  --clients-many  two buffers of 1 MiB for each connection that sends, not three of 4 MiB";

/// More connections than this wait in the kernel's backlog: each is a thread or two.
const CONNECTIONS_MAX: usize = 2_048;
const STACK_BYTES: usize = 256 * 1024;
/// A client that does nothing for so long is gone.
const IDLE_MAX: Duration = Duration::from_secs(120);

/// How it was started.
struct Setup {
    listen: String,
    dir: PathBuf,
    buffer_setup: file::BufferSetup,
}

fn main() -> Result<()> {
    let setup = arguments(std::env::args().skip(1))?;
    let dir = Arc::new(setup.dir);
    file::probe(&dir)?;
    let listener = TcpListener::bind(&setup.listen)
        .with_context(|| format!("--listen {} can't be listened on", setup.listen))?;
    tell(&format!("listening on http://{}", listener.local_addr()?))?;
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        if open.load(Ordering::Relaxed) >= CONNECTIONS_MAX {
            std::thread::sleep(Duration::from_millis(1)); // a thread that ends wakes nobody
            continue;
        }
        let Ok((stream, _)) = listener.accept() else {
            continue;
        };
        open.fetch_add(1, Ordering::Relaxed);
        let (dir, buffer_setup) = (Arc::clone(&dir), setup.buffer_setup);
        let counted = Counted(Arc::clone(&open));
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let spawned = thread.spawn(move || {
            let _counted = counted;
            if let Err(error) = serve(stream, &dir, buffer_setup) {
                eprintln!("ddx-floor: {error:#}");
            }
        });
        if let Err(error) = spawned {
            eprintln!("ddx-floor: a connection gets no thread: {error}");
        }
    }
}

/// A connection that is open, for as long as this lives.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn serve(stream: TcpStream, dir: &std::path::Path, buffer_setup: file::BufferSetup) -> Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE_MAX))?;
    stream.set_write_timeout(Some(IDLE_MAX))?;
    connection::Connection::new(stream, dir, buffer_setup).serve()
}

fn arguments(mut arguments: impl Iterator<Item = String>) -> Result<Setup> {
    let (mut listen, mut dir, mut buffer_setup) = (None, None, file::FEW);
    while let Some(name) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .with_context(|| format!("{name} wants a value\n\n{USAGE}"))
        };
        match name.as_str() {
            "--listen" => listen = Some(value()?),
            "--dir" => dir = Some(PathBuf::from(value()?)),
            "--clients-many" => buffer_setup = file::MANY,
            _ => bail!("unknown argument `{name}`\n\n{USAGE}"),
        }
    }
    let dir = dir.with_context(|| format!("--dir is missing\n\n{USAGE}"))?;
    ensure!(
        dir.is_dir(),
        "--dir {} is no folder: make it first",
        dir.display()
    );
    Ok(Setup {
        listen: listen.with_context(|| format!("--listen is missing\n\n{USAGE}"))?,
        dir,
        buffer_setup,
    })
}

fn tell(line: &str) -> Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(words: &[&str]) -> Result<Setup> {
        arguments(words.iter().map(|&word| word.to_owned()))
    }

    #[test]
    fn arguments_that_are_wrong_are_named_with_the_usage() {
        let told = |words: &[&str]| format!("{:#}", given(words).err().unwrap());
        assert!(told(&["--listen"]).contains("--listen wants a value"));
        assert!(told(&["--dri", "x"]).contains("unknown argument `--dri`"));
        assert!(told(&["--listen", "a:1"]).contains("--dir is missing"));
        assert!(told(&["--dir", "/nowhere/at/all"]).contains("is no folder"));
        assert!(told(&["--dir", "/"]).contains("--listen is missing"));
    }

    #[test]
    fn many_clients_get_less_memory_each() {
        let few = given(&["--listen", "127.0.0.1:0", "--dir", "/"]).unwrap();
        assert_eq!(
            (few.buffer_setup.bytes, few.buffer_setup.count),
            (4 << 20, 3)
        );
        let many = given(&["--listen", "127.0.0.1:0", "--dir", "/", "--clients-many"]).unwrap();
        assert_eq!(
            (many.buffer_setup.bytes, many.buffer_setup.count),
            (1 << 20, 2)
        );
    }
}
