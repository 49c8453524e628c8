//! docs/CLIENTS.md, read and run.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ddx_testkit::{
    Client, Cut, Data, Fault, FaultProxy, Finished, MIB, Request, Response, Run, Server, Setup,
    Turn, Way,
};

use crate::setup;

const MANUAL: &str = include_str!("../../../../../docs/CLIENTS.md");

/// The address that the document gives the server.
const ADDRESS: &str = "127.0.0.1:8000";

/// Where a bad network cuts each connection. `holiday.mp4` is longer.
pub(super) const CUT_BYTES: u64 = 5 * MIB;

/// A section of the document.
struct Section {
    client: &'static str,
    title: &'static str,
    commands: String,
}

fn sections() -> Vec<Section> {
    let mut all: Vec<Section> = Vec::new();
    let mut client = "";
    for line in MANUAL.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            client = name;
        } else if let Some(title) = line.strip_prefix("### ") {
            let commands = String::new();
            all.push(Section {
                client,
                title,
                commands,
            });
        } else if let (Some(command), Some(section)) = (line.strip_prefix("    "), all.last_mut()) {
            section.commands += command;
            section.commands.push('\n');
        }
    }
    all
}

/// What `holiday.mp4` holds.
pub(super) fn holiday() -> Data {
    Data::new(71, 8 * MIB + 345)
}

/// What `notes.txt` holds.
pub(super) fn notes() -> Data {
    Data::new(72, 1234)
}

/// A file on the server: its link and its delete link.
pub(super) struct Sent {
    pub(super) link: String,
    pub(super) delete_link: String,
}

/// A person at a terminal, in a folder of their own.
pub(super) struct Terminal {
    pub(super) server: Server,
    pub(super) folder: PathBuf,
    program: &'static str,
    _turn: Turn,
}

impl Terminal {
    /// With an empty folder, beside a server with its defaults.
    pub(super) fn new(program: &'static str) -> Result<Self> {
        Self::at(program, setup())
    }

    /// The same with `holiday.mp4` and `notes.txt` in the folder.
    pub(super) fn with_files(program: &'static str) -> Result<Self> {
        let terminal = Self::new(program)?;
        terminal.put_files()?;
        Ok(terminal)
    }

    pub(super) fn at(program: &'static str, setup: Setup) -> Result<Self> {
        let turn = Turn::shared()?;
        let server = setup.start()?;
        let folder = server.scratch().join("desk");
        std::fs::create_dir_all(&folder)?;
        Ok(Self {
            server,
            folder,
            program,
            _turn: turn,
        })
    }

    /// Puts `holiday.mp4` and `notes.txt` into the folder.
    pub(super) fn put_files(&self) -> Result<()> {
        for (name, data) in [("holiday.mp4", holiday()), ("notes.txt", notes())] {
            std::fs::write(self.folder.join(name), data.all())?;
        }
        Ok(())
    }

    /// `holiday.mp4` on the server, sent with these fields.
    pub(super) async fn sent(&self, fields: &[(&str, &str)]) -> Result<Sent> {
        let answer = self
            .client()
            .put_with("holiday.mp4", &holiday(), fields, None)
            .await?
            .expect(201)?;
        Ok(Sent {
            link: answer.field("x-url-share")?.to_owned(),
            delete_link: answer.field("x-url-delete")?.to_owned(),
        })
    }

    /// Both files under one link.
    pub(super) async fn sent_both(&self) -> Result<String> {
        const LINE: &str = "--line";
        let mut body = Vec::new();
        for (name, data) in [("holiday.mp4", holiday()), ("notes.txt", notes())] {
            let head = "Content-Disposition: form-data; name=file; filename=";
            body.extend(format!("{LINE}\r\n{head}{name}\r\n\r\n").into_bytes());
            body.extend(data.all());
            body.extend(b"\r\n");
        }
        body.extend(format!("{LINE}--\r\n").into_bytes());
        let form = Request::new("POST", "/")
            .header("Content-Type", "multipart/form-data; boundary=line")
            .header("Content-Length", body.len());
        let answer = self.client().send(&form, &body).await?.expect(201)?;
        Ok(answer.field("x-url-share")?.to_owned())
    }

    pub(super) fn client(&self) -> Client {
        self.server.client()
    }

    /// Runs the commands of a section of the document as they stand there, with this server's
    /// address and this link.
    pub(super) async fn run(&self, title: &str, link: &str) -> Result<Finished> {
        let address = self.server.address();
        self.run_at(address, title, link).await
    }

    /// The same over this network instead of straight to the server.
    pub(super) async fn run_through(&self, network: &FaultProxy, title: &str) -> Result<Finished> {
        self.run_at(network.address(), title, "").await
    }

    async fn run_at(&self, address: SocketAddr, title: &str, link: &str) -> Result<Finished> {
        let section = sections()
            .into_iter()
            .find(|section| section.client == self.program && section.title == title)
            .with_context(|| format!("docs/CLIENTS.md has no {title:?} for {}", self.program))?;
        ensure!(
            section.commands.contains(self.program),
            "{title}: no such command"
        );
        let commands = section
            .commands
            .replace(ADDRESS, &address.to_string())
            .replace("DELETE-LINK", link)
            .replace("LINK", link);
        self.shell(&commands).await
    }

    /// Runs a line of shell in the folder, without any configuration of the user's.
    pub(super) async fn shell(&self, commands: &str) -> Result<Finished> {
        let finished = Run::new("sh")
            .args(["-c", commands])
            .folder(&self.folder)
            .env("HOME", self.server.scratch())
            .env("no_proxy", "127.0.0.1")
            .within(Duration::from_secs(60))
            .finish()
            .await?;
        ensure!(
            finished.code != Some(127),
            "{}; `make test` installs what the tests need",
            finished.stderr.trim()
        );
        Ok(finished)
    }

    /// Errs unless the folder's file has exactly these bytes.
    pub(super) fn holds(&self, name: &str, data: &Data) -> Result<()> {
        let bytes = std::fs::read(self.folder.join(name)).with_context(|| {
            let names = std::fs::read_dir(&self.folder).map(|folder| {
                folder
                    .filter_map(|entry| entry.ok().map(|entry| entry.file_name()))
                    .collect::<Vec<_>>()
            });
            format!("{name} is not among {names:?}")
        })?;
        ensure!(bytes == data.all(), "{name} has other bytes");
        Ok(())
    }

    /// The names of the folder's files.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// Leaves the first part of `holiday.mp4` in the folder.
    pub(super) fn leave_a_part(&self) -> Result<()> {
        let part = holiday().bytes(0..3 * MIB);
        Ok(std::fs::write(self.folder.join("holiday.mp4"), part)?)
    }

    /// What the server tells of the share at this link, as JSON.
    pub(super) async fn share(&self, link: &str) -> Result<serde_json::Value> {
        let id = link.rsplit('/').next().unwrap_or(link);
        self.client().json(&format!("/api/v1/shares/{id}")).await
    }

    /// Errs unless nothing is stored on the server.
    pub(super) async fn stores_nothing(&self) -> Result<()> {
        let metrics = self.client().metrics().await?;
        let Some(files) = metrics.get("ddx_files") else {
            bail!("no ddx_files in {:?}", metrics.keys());
        };
        ensure!(*files == 0.0, "{files} files");
        Ok(())
    }
}

/// A network that cuts each connection after [`CUT_BYTES`] of this way.
pub(super) async fn bad_network(terminal: &Terminal, way: Way) -> Result<FaultProxy> {
    let proxy = FaultProxy::start(terminal.server.address(), Fault::None).await?;
    proxy.set_on(way, Fault::CutAfter(CUT_BYTES, Cut::Close));
    Ok(proxy)
}

/// A link through this network.
pub(super) fn through(proxy: &FaultProxy, terminal: &Terminal, link: &str) -> String {
    link.replace(
        &terminal.server.address().to_string(),
        &proxy.address().to_string(),
    )
}

/// The only line of what was printed.
pub(super) fn only_line(finished: &Finished) -> Result<&str> {
    let line = finished.stdout.trim();
    ensure!(
        !line.is_empty() && !line.contains('\n'),
        "one line, not {finished:?}"
    );
    Ok(line)
}

/// Errs unless the link is gone.
pub(super) fn is_gone(answer: &Response) -> Result<()> {
    ensure!(answer.status == 404, "{answer:?}");
    Ok(())
}

#[test]
fn every_section_of_the_document_is_run() -> Result<()> {
    let sources = [
        ("curl", include_str!("curl.rs")),
        ("wget", include_str!("wget.rs")),
        ("aria2", include_str!("aria2.rs")),
        ("rclone", include_str!("rclone.rs")),
    ];
    let sections = sections();
    ensure!(sections.len() >= 30, "{} sections", sections.len());
    for Section {
        client,
        title,
        commands,
    } in sections
    {
        let (_, source) = sources
            .iter()
            .find(|(name, _)| *name == client)
            .with_context(|| format!("no tests of {client}"))?;
        ensure!(!commands.is_empty(), "{client}, {title}: no command");
        ensure!(
            source.contains(&format!("\"{title}\"")),
            "{client}, {title}: not run"
        );
    }
    Ok(())
}
