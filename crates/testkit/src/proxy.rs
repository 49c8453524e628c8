//! Real proxies before a server: nginx and Caddy, each with its own configuration in a folder of
//! its own.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::Client;

/// How often a port is looked for: another process may take it before the proxy does.
const TRIES: usize = 5;

/// How long a proxy may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// A proxy that runs until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Proxy {
    /// nginx with this inside its `server` block; the rest is as it comes.
    ///
    /// # Errors
    /// It is not installed, or does not start with that.
    pub fn nginx(server: &str) -> Result<Self> {
        Self::start("nginx", |folder, address| {
            let of = folder.display();
            // Workers are told nothing of a master that is killed, so there is only one process.
            let config = format!(
                "daemon off; master_process off; pid {of}/pid;\n\
                 events {{ worker_connections 64; }}\n\
                 http {{ access_log off; client_body_temp_path {of}/body; proxy_temp_path {of}/proxy;\n\
                 fastcgi_temp_path {of}/f; uwsgi_temp_path {of}/u; scgi_temp_path {of}/s;\n\
                 server {{ listen {address};\n{server}\n}} }}\n"
            );
            let path = folder.join("nginx.conf");
            std::fs::write(&path, config)?;
            let mut command = Command::new("nginx");
            command.arg("-p").arg(folder).arg("-e").arg("stderr");
            command.arg("-c").arg(path);
            Ok(command)
        })
    }

    /// Caddy with this inside its site; the rest is as it comes, without TLS.
    ///
    /// # Errors
    /// It is not installed, or does not start with that.
    pub fn caddy(site: &str) -> Result<Self> {
        Self::start("caddy", |folder, address| {
            let config = format!(
                "{{\n\tadmin off\n\tauto_https off\n}}\nhttp://:{} {{\n\tbind {}\n{site}\n}}\n",
                address.port(),
                address.ip()
            );
            let path = folder.join("Caddyfile");
            std::fs::write(&path, config)?;
            let mut command = Command::new("caddy");
            command.args(["run", "--adapter", "caddyfile", "--config"]);
            command.arg(path);
            for name in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
                command.env(name, folder);
            }
            Ok(command)
        })
    }

    fn start(name: &str, command: impl Fn(&Path, SocketAddr) -> Result<Command>) -> Result<Self> {
        for _ in 0..TRIES {
            let folder = tempfile::Builder::new().prefix("ddx-proxy-").tempdir()?;
            let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
            let log = File::create(folder.path().join("log"))?;
            let mut command = command(folder.path(), address)?;
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log);
            let child = command.spawn().with_context(|| {
                format!("start {name}; is it installed? `make test` installs what the tests need")
            })?;
            let mut proxy = Self {
                child,
                address,
                folder,
            };
            if proxy.is_ready()? {
                return Ok(proxy);
            }
            eprintln!("{name}: {}", proxy.log());
        }
        bail!("{name} does not start")
    }

    /// Whether it listens; false where it ended first.
    fn is_ready(&mut self) -> Result<bool> {
        let end = Instant::now() + READY_WITHIN;
        while self.child.try_wait()?.is_none() {
            if TcpStream::connect(self.address).is_ok() {
                return Ok(true);
            }
            if Instant::now() > end {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(10)); // nothing tells when it listens
        }
        Ok(false)
    }

    /// What it said on its standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client that asks the proxy.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Its own folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
