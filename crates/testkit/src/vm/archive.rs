//! The initial file system of a machine: an archive of the form that the kernel unpacks
//! (cpio, "newc").

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::Run;

/// Packs the first program and all others, with their libraries, each at its own path.
pub(super) async fn pack(initrd: &Path, programs: &[PathBuf], init: &str) -> Result<()> {
    let mut files = BTreeSet::new();
    for program in programs {
        files.insert(program.clone());
        let libraries = Run::new("ldd").arg(program).finish().await?;
        let words = libraries.stdout.split_whitespace();
        files.extend(
            words
                .filter(|word| word.starts_with('/'))
                .map(PathBuf::from),
        );
    }
    let mut folders = BTreeSet::new();
    for file in &files {
        folders.extend(file.ancestors().skip(1).map(Path::to_owned));
    }
    let mut archive = BufWriter::new(File::create(initrd)?);
    for folder in folders.iter().filter(|folder| folder.parent().is_some()) {
        entry(&mut archive, folder, 0o40_755, &[])?;
    }
    entry(&mut archive, Path::new("/init"), 0o100_755, init.as_bytes())?;
    for file in &files {
        let content = fs::read(file).with_context(|| {
            format!(
                "read {}; `make test` installs what the tests need",
                file.display()
            )
        })?;
        entry(
            &mut archive,
            file,
            fs::metadata(file)?.permissions().mode(),
            &content,
        )?;
    }
    entry(&mut archive, Path::new("/TRAILER!!!"), 0, &[])?;
    Ok(archive.flush()?)
}

/// One entry; a name that ends the archive is one, too.
fn entry(archive: &mut impl Write, path: &Path, mode: u32, content: &[u8]) -> Result<()> {
    let name = path.strip_prefix("/")?.to_str().context("no text")?;
    write!(archive, "070701{:08X}{mode:08X}", 0)?;
    // Owner, group, links, time, size, device (4), length of the name with its zero, checksum.
    for field in [0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0] {
        write!(archive, "{field:08X}")?;
    }
    write!(archive, "{name}\0")?;
    let padding = |written: usize| &[0; 3][..written.wrapping_neg() % 4];
    archive.write_all(padding(110 + name.len() + 1))?;
    archive.write_all(content)?;
    Ok(archive.write_all(padding(content.len()))?)
}
