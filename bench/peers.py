"""The servers that are compared: how each is installed from its registry, started, and spoken to.

All of them get their defaults, except what makes the comparison possible: a port, a folder, no limit on sizes, and for nginx the
lines without which `PUT` does not exist. Nothing is tuned against anybody.
"""

import os
import resource
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute() / "bench"
RELEASE = HOME.parent / "release"

VERSIONS = {
    "tusd": "v2.9.1",
    "rustus": "0.5.10",
    "dufs": "0.47.0",
    "@tus/server": "2.4.5",
    "@tus/file-store": "2.1.1",
    "copyparty": "1.20.26",
}


@dataclass
class Peer:
    """`protocols` maps what the load generator speaks to the path under which this server takes it."""

    name: str
    start: callable
    protocols: dict
    fetch: dict
    install: callable = lambda: None
    quick: bool = False
    ready_path: str = "/"
    env: dict = field(default_factory=dict)


def call(command, **options):
    print("   $", " ".join(str(part) for part in command), file=sys.stderr, flush=True)
    subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=sys.stderr, check=True, **options)


def once(name, version, work):
    """Runs `work` unless this version is there already."""
    marker = HOME / "peers" / f".{name.replace('/', '-')}"
    if marker.is_file() and marker.read_text() == version:
        return
    marker.parent.mkdir(parents=True, exist_ok=True)
    print(f"── installing {name} {version}", file=sys.stderr, flush=True)
    work()
    marker.write_text(version)


def apt(*packages):
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise RuntimeError(f"needs {' '.join(packages)}; install it, or run as root on a Debian system")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    call(["apt-get", "update", "-qq"], env=quiet)
    call(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], env=quiet)


def cargo_install(crate):
    def work():
        # Of its own target folder, so that the project's build is not made anew.
        env = {**os.environ, "CARGO_TARGET_DIR": str(HOME / "peers" / "cargo-target")}
        call(["cargo", "install", "--quiet", "--locked", "--root", HOME / "peers", f"{crate}@{VERSIONS[crate]}"], env=env)

    return lambda: once(crate, VERSIONS[crate], work)


def install_ours():
    call(["cargo", "build", "--release", "--locked", "--quiet", "-p", "ddx", "-p", "ddx-load", "-p", "ddx-floor"], cwd=ROOT)


def install_nginx():
    if not shutil.which("nginx"):
        apt("nginx-extras")
        subprocess.run(["systemctl", "disable", "--now", "nginx"], check=False, capture_output=True)


def install_tusd():
    go = shutil.which("go")
    if not go:
        raise RuntimeError("needs Go")
    env = {**os.environ, "GOBIN": str(HOME / "peers" / "bin")}
    once("tusd", VERSIONS["tusd"], lambda: call([go, "install", f"github.com/tus/tusd/v2/cmd/tusd@{VERSIONS['tusd']}"], env=env))


def install_tus_node():
    folder = HOME / "peers" / "tus-node"
    packages = [f"{name}@{VERSIONS[name]}" for name in ("@tus/server", "@tus/file-store")]

    def work():
        folder.mkdir(parents=True, exist_ok=True)
        call(["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", folder, *packages])

    once("tus-node", " ".join(packages), work)
    (folder / "serve.mjs").write_text(
        "import { Server } from '@tus/server';\n"
        "import { FileStore } from '@tus/file-store';\n"
        "const [port, directory] = process.argv.slice(2);\n"
        "new Server({ path: '/files', datastore: new FileStore({ directory }) }).listen({ host: '127.0.0.1', port: Number(port) });\n"
    )


def install_copyparty():
    folder = HOME / "peers" / "copyparty"

    def work():
        call([sys.executable, "-m", "venv", folder])
        call([folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", f"copyparty=={VERSIONS['copyparty']}"])

    once("copyparty", VERSIONS["copyparty"], work)


def nginx(port, folder, _):
    (folder / "files").mkdir(parents=True)
    (folder / "body").mkdir()
    # Files are moved within one file system; `worker_processes auto` and keep-alive without end are
    # what its operators set.
    user = "user www-data; " if os.geteuid() == 0 else ""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    (folder / "nginx.conf").write_text(
        f"""{user}daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes auto;
worker_rlimit_nofile {min(files, 65536)};
events {{ worker_connections 20000; }}
http {{ access_log off; client_max_body_size 0; client_body_temp_path {folder}/body; sendfile on; keepalive_requests 1000000;
  server {{ listen 127.0.0.1:{port} backlog=16384; location / {{ root {folder}/files; dav_methods PUT DELETE; create_full_put_path on; }} }} }}
"""
    )
    if os.geteuid() == 0:
        for place in (folder, folder / "files", folder / "body"):
            shutil.chown(place, "www-data")
    return ["nginx", "-p", folder, "-c", folder / "nginx.conf"]


def peers():
    """All of them; ours first."""
    tools = HOME / "peers"
    ours = [
        Peer(
            "ddx",
            lambda port, folder, _: [RELEASE / "ddx", "serve", "--listen", f"127.0.0.1:{port}", "--data-dir", folder / "data"],
            {"put": "", "tus": "/files", "tus-with-upload": "/files"},
            {"put": "answer", "tus": "location", "tus-with-upload": "location"},
            install_ours,
            quick=True,
            ready_path="/healthz",
        ),
        Peer(
            "floor",
            lambda port, folder, many: [RELEASE / "ddx-floor", "--listen", f"127.0.0.1:{port}", "--dir", folder, *(["--clients-many"] if many else [])],
            {"put": ""},
            {"put": "location"},
            quick=True,
        ),
    ]
    others = [
        Peer("nginx", nginx, {"put": ""}, {"put": "same"}, install_nginx, quick=True),
        Peer(
            "tusd",
            lambda port, folder, _: [tools / "bin" / "tusd", "-host", "127.0.0.1", "-port", port, "-upload-dir", folder / "data"],
            {"tus": "/files/", "tus-with-upload": "/files/"},
            {"tus": "location", "tus-with-upload": "location"},
            install_tusd,
            quick=True,
        ),
        Peer(
            "tus-node",
            lambda port, folder, _: ["node", tools / "tus-node" / "serve.mjs", port, folder / "data"],
            {"tus": "/files", "tus-with-upload": "/files"},
            {"tus": "location", "tus-with-upload": "location"},
            install_tus_node,
        ),
        Peer(
            "rustus",
            lambda port, folder, _: [
                tools / "bin" / "rustus", "--host", "127.0.0.1", "--port", port,
                "--data-dir", folder / "data", "--info-dir", folder / "info",
            ],
            {"tus": "/files/", "tus-with-upload": "/files/"},
            {"tus": "location", "tus-with-upload": "location"},
            cargo_install("rustus"),
        ),
        Peer(
            "dufs",
            lambda port, folder, _: [tools / "bin" / "dufs", "--allow-all", "--bind", "127.0.0.1", "--port", port, folder],
            {"put": ""},
            {"put": "same"},
            cargo_install("dufs"),
        ),
        Peer(
            "copyparty",
            lambda port, folder, _: [
                tools / "copyparty" / "bin" / "copyparty", "-q", "-i", "127.0.0.1", "-p", port, "-v", f"{folder}::A", "--hist", folder.parent / "hist",
            ],
            {"put": ""},
            {"put": "same"},
            install_copyparty,
        ),
    ]
    return ours + others


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Running:
    """A peer at work in a box. `ready_s` is from its start to its first answer."""

    def __init__(self, peer, box, folder, many):
        self.port = free_port()
        self.log = folder.parent / f"{peer.name}.log"
        for place in ("data", "info"):
            (folder / place).mkdir(parents=True, exist_ok=True)
        command = [str(part) for part in peer.start(self.port, folder, many)]
        started = time.monotonic()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=box.enter, start_new_session=True
            )
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    break
            except OSError:
                if self.process.poll() is not None or time.monotonic() - started > 60:
                    raise RuntimeError(f"{peer.name} does not start: {self.log.read_text(errors='replace')[-2000:]}") from None
                time.sleep(0.002)
        self.ready_s = time.monotonic() - started
        if peer.ready_path != "/":
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}{peer.ready_path}", timeout=10).read()

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
