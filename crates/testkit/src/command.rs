//! Other people's programs: curl, and the tus clients in Node.js and Python.
//!
//! They are what users have, so a test that needs one and doesn't find it fails and says how to
//! install it. A skip would be read as "works".

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;
use tokio::time::timeout;

/// A command to run.
#[derive(Debug)]
pub struct Run {
    command: Command,
    within: Duration,
}

/// What a command left.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Finished {
    /// Errs with all output unless it ended with 0.
    pub fn success(self) -> Result<Self> {
        ensure!(
            self.code == Some(0),
            "exit {:?}\n{}\n{}",
            self.code,
            self.stdout,
            self.stderr
        );
        Ok(self)
    }

    /// The last line of standard output as JSON.
    pub fn last_json(&self) -> Result<serde_json::Value> {
        let line = self
            .stdout
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("");
        serde_json::from_str(line).with_context(|| format!("{self:?}"))
    }
}

impl Run {
    /// A command by its name or path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .env("LC_ALL", "C.UTF-8");
        Self {
            command,
            within: Duration::from_secs(120),
        }
    }

    /// `curl`, quiet but for errors, and without the user's own configuration.
    pub fn curl() -> Self {
        Self::new("curl").args(["-q", "-sS", "--max-time", "120"])
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets its working folder.
    pub fn folder(mut self, path: impl AsRef<Path>) -> Self {
        self.command.current_dir(path);
        self
    }

    /// Gives it a file as standard input.
    pub fn stdin(mut self, file: std::fs::File) -> Self {
        self.command.stdin(file);
        self
    }

    /// Sets how long it may take.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// Runs it to its end.
    pub async fn finish(mut self) -> Result<Finished> {
        let output = timeout(self.within, self.command.output())
            .await
            .with_context(|| format!("{:?} takes over {:?}", self.command, self.within))?
            .with_context(|| {
                format!(
                    "start {:?}; is it installed? `make test` installs what the tests need",
                    self.command.as_std().get_program()
                )
            })?;
        Ok(Finished {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

/// The folder of the real clients, `tests/clients`.
pub fn clients_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients")
}

/// Node.js with one of the scripts in `tests/clients`, whose packages must be installed.
pub fn node(script: &str) -> Result<Run> {
    let folder = clients_folder();
    ensure!(
        folder.join("node_modules/tus-js-client").is_dir()
            && folder.join("node_modules/@uppy/core").is_dir(),
        "the tus clients for Node.js are not installed: run `npm ci` in {}",
        folder.display()
    );
    Ok(Run::new("node").arg(folder.join(script)).folder(folder))
}

/// Python with one of the scripts in `tests/clients`: the interpreter in `DDX_TEST_PYTHON`, or that
/// of `tests/clients/.venv`.
pub fn python(script: &str) -> Result<Run> {
    let folder = clients_folder();
    let interpreter = std::env::var_os("DDX_TEST_PYTHON")
        .map_or_else(|| folder.join(".venv/bin/python"), PathBuf::from);
    ensure!(
        interpreter.is_file(),
        "the tus client for Python is not installed: run `python3 -m venv .venv && .venv/bin/pip install -r requirements.txt` in {}, or set DDX_TEST_PYTHON",
        folder.display()
    );
    Ok(Run::new(interpreter)
        .arg(folder.join(script))
        .folder(folder))
}
