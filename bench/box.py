"""A memory box: a control group with a limit, in which one server runs, and what the kernel counts of it.

Only the kernel's own account is comparable between servers that are written in five languages. Version 1 and version 2 of the
memory controller are both known; the box is made beside us, so whatever bounds the benchmark bounds the box too.
"""

import os
import signal
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PREFIX = "ddx-bench-"


class BoxError(RuntimeError):
    """No box can be made, or the kernel does not tell what is asked."""


def places():
    """Where a box can be made, best first: (version, folder)."""
    own = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            own[1] = path
        elif not controllers:
            own[2] = path
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        root, mount = left.split(" ")[3:5]
        kind, _, options = right.split(" ")[:3]
        if kind == "cgroup" and "memory" in options.split(","):
            version = 1
        elif kind == "cgroup2" and "memory" in (Path(mount) / "cgroup.controllers").read_text().split():
            version = 2
        else:
            continue
        below = own.get(version, "/")
        below = below[len(root):] if root != "/" and below.startswith(root) else below
        folder = Path(mount, below.lstrip("/"))
        while folder.is_relative_to(mount):
            if folder.is_dir():
                found.append((version, folder))
            if folder == Path(mount):
                break
            folder = folder.parent
    return sorted(found, key=lambda place: place[0])


class Box:
    """A control group of `limit_bytes`; leaving the `with` kills what still runs in it and removes it."""

    def __init__(self, limit_bytes):
        self.limit_bytes = limit_bytes
        refusals = []
        for self.version, parent in places():
            self.folder = parent / f"{PREFIX}{os.getpid()}-{time.monotonic_ns()}"
            try:
                self._make(parent)
                return
            except OSError as error:
                refusals.append(f"{parent}: {error}")
                if self.folder.is_dir():
                    self.folder.rmdir()
        raise BoxError("no memory box can be made here (root and a writable memory controller are needed): " + "; ".join(refusals))

    def _make(self, parent):
        if self.version == 2 and "memory" not in (parent / "cgroup.subtree_control").read_text().split():
            (parent / "cgroup.subtree_control").write_text("+memory")
        self.folder.mkdir()
        limit = "memory.limit_in_bytes" if self.version == 1 else "memory.max"
        (self.folder / limit).write_text(str(self.limit_bytes))
        if self.version == 2 and (self.folder / "memory.swap.max").exists():
            (self.folder / "memory.swap.max").write_text("0")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end = time.monotonic() + 10
        while self.folder.is_dir() and time.monotonic() < end:
            for pid in self.pids():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            try:
                self.folder.rmdir()
            except OSError:
                time.sleep(0.01)  # a killed process leaves its group a moment later; nothing tells when

    def enter(self):
        """For the child between fork and exec: puts itself into the box."""
        with open(self.folder / "cgroup.procs", "w") as procs:
            procs.write(str(os.getpid()))

    def pids(self):
        try:
            return [int(line) for line in (self.folder / "cgroup.procs").read_text().split()]
        except FileNotFoundError:
            return []

    def _number(self, name):
        return int((self.folder / name).read_text())

    def _keyed(self, name):
        pairs = (line.split() for line in (self.folder / name).read_text().splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}

    def anonymous_bytes(self):
        """Anonymous memory charged now: what can't be had back without swap."""
        return self._keyed("memory.stat")["total_rss" if self.version == 1 else "anon"]

    def peak_bytes(self):
        """The most that was ever charged, page cache included."""
        return self._number("memory.max_usage_in_bytes" if self.version == 1 else "memory.peak")

    def oom_kills(self):
        return self._keyed("memory.oom_control" if self.version == 1 else "memory.events")["oom_kill"]

    def cpu_seconds(self):
        """User and system time of all processes in the box and of their children that ended."""
        total = 0
        for pid in self.pids():
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            total += sum(int(field) for field in fields[11:15])
        return total / TICKS

    def resident_bytes(self):
        """Resident memory of all processes in the box, the pages of their files included."""
        total = 0
        for pid in self.pids():
            try:
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            except (FileNotFoundError, ProcessLookupError):
                continue
        return total
