#!/usr/bin/env python3
"""`make bench`: our server, the floor and the peers in turn, in the same boxes, by the same client, in one run.

Absolute figures drift with the machine by a factor of two within an hour. So the servers of one work take turns within each
round, in another order every time, and what counts are ratios of medians over the rounds of one run.

    bench.py [--quick] [--rounds N] [--only WORK,…] [--peers NAME,…] [--out FOLDER]

Writes `results.json`, `table.md` and plots; prints the table and how the targets stand. A peer that can't be installed or does not
survive a work is a line in the table, not an end of the run.
"""

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import report
from box import Box, BoxError
from peers import HOME, RELEASE, ROOT, Running, peers
from works import works

DATA = HOME / "data"
# Works whose files stay until the end.
MANY_FILES = (["slow"], ["small"], ["create"])
IDLE_S = 5
COMPARED = 4
SAMPLE_EVERY_S = 0.05


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller works, the two strongest peers, one round")
    parser.add_argument("--rounds", type=int, help="rounds of each work (default 5, quick 1)")
    parser.add_argument("--only", default="", help="works to run, by key, separated by commas")
    parser.add_argument("--peers", default="", help="servers to run, by name, separated by commas")
    parser.add_argument("--out", type=Path, default=HOME / "results", help="where results are written")
    return parser.parse_args()


class Watcher(threading.Thread):
    """Remembers the most anonymous memory that the box ever had; the kernel keeps no such figure."""

    def __init__(self, box):
        super().__init__(daemon=True)
        self.box, self.most, self.ended = box, 0, threading.Event()

    def run(self):
        while not self.ended.wait(SAMPLE_EVERY_S):
            try:
                self.most = max(self.most, self.box.anonymous_bytes())
            except (OSError, KeyError):
                return

    def stop(self):
        self.ended.set()
        self.join()
        return self.most


def load(arguments_of_load, running, peer, protocol, within_s, seed):
    """Runs the load generator; its object, or what it said before it failed."""
    command = [
        str(RELEASE / "ddx-load"), *arguments_of_load, "--to", running.url(""), "--protocol", protocol,
        "--seed", str(seed), "--within", f"{within_s}s", "--fetch", peer.fetch[protocol],
    ]
    if protocol != "put":
        command += ["--tus-path", peer.protocols[protocol]]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within_s + 120, check=False)
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError:
        raise RuntimeError(f"the load generator says: {done.stderr.strip()[-600:]}") from None


def measure(work, peer, protocol, seed):
    """One run of one work against one server, in a folder of its own."""
    folder = DATA / f"{work.key}-{seed}-{peer.name}-{protocol}"
    folder.mkdir(parents=True)
    os.sync()  # what the run before left to be written must not slow this one
    with Box(work.box_bytes) as box:
        running = Running(peer, box, folder, work.many)
        try:
            figures = idle(box) if work.idle else busy(work, peer, protocol, running, box, seed)
            figures.update(ready_s=running.ready_s, oom_kills=box.oom_kills())
            return figures
        finally:
            running.stop()
            # For minutes after thousands of files were removed, some file systems make new ones
            # slowly, whichever program asks.
            if work.load[:1] not in MANY_FILES:
                shutil.rmtree(folder, ignore_errors=True)


def compare(got, work, running, peer, protocol, seed):
    """Fetches some files back and compares every byte. After the measurement: what a download costs is no part of an upload."""
    links = (got.get("links") or [])[:COMPARED]
    if work.load[0] in ("get", "create") or not links:
        return 0
    paths = [part for link in links for part in ("--path", link)]
    told = load(["get", "--clients", str(len(links)), "--file", "0", *paths], running, peer, protocol, work.within_s, seed)
    if told["failures"]:
        raise RuntimeError(f"what was stored can't be fetched: {told['failures']}")
    return told["digests_wrong"]


def idle(box):
    time.sleep(1)  # the start is over
    before = box.cpu_seconds()
    time.sleep(IDLE_S)
    return {
        "idle_cpu_s": box.cpu_seconds() - before, "resident_bytes": box.resident_bytes(), "anonymous_peak_bytes": box.anonymous_bytes(),
        "box_peak_bytes": box.peak_bytes(), "failures": {}, "digests_wrong": 0,
    }


def drop_page_cache():
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("1")
    except OSError as error:
        raise RuntimeError(f"the page cache can't be dropped: {error}") from None


def busy(work, peer, protocol, running, box, seed):
    wanted = list(work.load)
    if work.before:
        first = load(work.before, running, peer, protocol, work.within_s, seed)
        if not first.get("links"):
            raise RuntimeError(f"nothing to begin with: {first.get('failures')}")
        wanted += ["--path", first["links"][0]]
        if work.cold:
            drop_page_cache()
        else:
            load(wanted, running, peer, protocol, work.within_s, seed)
    beside, told = None, {}
    if work.beside:
        beside = threading.Thread(target=lambda: told.update(load(work.beside, running, peer, protocol, work.within_s, seed + 1)))
        beside.start()
        time.sleep(work.settle_s)  # all of them are in the middle of it
    watcher = Watcher(box)
    watcher.start()
    cpu = box.cpu_seconds()
    got = load(wanted, running, peer, protocol, work.within_s, seed)
    cpu, anonymous = box.cpu_seconds() - cpu, watcher.stop()
    is_over = beside is not None and not beside.is_alive()
    if beside:
        beside.join()
    latency, opened = got.get("latency_ms") or {}, got.get("open_ms") or {}
    failures = dict(got["failures"])
    for reason, count in told.get("failures", {}).items():
        failures[f"beside: {reason}"] = count
    return {
        "seconds": got["seconds"], "mb_per_s": got.get("mb_per_s"), "files_per_s": got.get("files_per_s"), "cpu_s": cpu,
        "cpu_s_per_gib": cpu / (got["bytes"] / 2**30) if got.get("bytes") else None,
        "p50_ms": latency.get("p50"), "p99_ms": latency.get("p99"), "open_p50_ms": opened.get("p50"), "open_p99_ms": opened.get("p99"),
        "link_after_ms": got.get("link_after_ms"), "anonymous_peak_bytes": anonymous, "box_peak_bytes": box.peak_bytes(), "failures": failures,
        "digests_wrong": got.get("digests_wrong", 0) + compare(got, work, running, peer, protocol, seed), "beside_ended_first": is_over,
    }


def summary(rounds):
    """Median and spread of every figure, and everything that went wrong in any round."""
    figures = sorted({name for one in rounds for name, value in one.items() if isinstance(value, (int, float)) and not isinstance(value, bool)})
    median, spread = {}, {}
    for name in figures:
        values = [one[name] for one in rounds if isinstance(one.get(name), (int, float))]
        median[name] = statistics.median(values)
        spread[name] = [min(values), max(values)]
    failures = {}
    for one in rounds:
        for reason, count in one["failures"].items():
            failures[reason] = failures.get(reason, 0) + count
    return {
        "rounds": len(rounds), "median": median, "spread": spread, "failures": failures,
        "digests_wrong": sum(one["digests_wrong"] for one in rounds), "oom_kills": sum(one["oom_kills"] for one in rounds),
    }


def install(wanted):
    there, missing = {}, {}
    for peer in wanted:
        try:
            peer.install()
            there[peer.name] = peer
        except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
            missing[peer.name] = str(error)
            print(f"{peer.name} is left out: {error}", file=sys.stderr)
    return there, missing


def run_work(work, there, rounds, chance):
    """All rounds of one work: who took part, with what figures, and who fell out."""
    taking = [(there[name], protocol) for name, protocol in work.who if name in there]
    seen = {f"{peer.name} {protocol}": [] for peer, protocol in taking}
    broken = {}
    for at in range(min(rounds, work.rounds_max)):
        chance.shuffle(taking)
        for peer, protocol in taking:
            who = f"{peer.name} {protocol}"
            # One that failed a whole round takes no further time.
            if who in broken:
                continue
            started = time.monotonic()
            try:
                seen[who].append(measure(work, peer, protocol, at + 1))
            except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
                broken[who] = str(error)[-300:]
            told = seen[who][-1] if who not in broken else {}
            shown = {name: told.get(name) for name in ("mb_per_s", "files_per_s", "cpu_s", "p99_ms", "open_p99_ms", "failures") if told.get(name)}
            print(f"{work.key:<12} round {at + 1}  {who:<22} {time.monotonic() - started:6.1f} s  {broken.get(who) or shown}", file=sys.stderr, flush=True)
    return {who: summary(rows) for who, rows in seen.items() if rows}, broken


def commit():
    told = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"


def main():
    wanted = arguments()
    names = [name for name in wanted.peers.split(",") if name]
    chosen = [peer for peer in peers() if (peer.name in names if names else peer.quick or not wanted.quick)]
    keys = [key for key in wanted.only.split(",") if key]
    plan = [work for work in works(wanted.quick) if not keys or work.key in keys]
    unknown = set(keys) - {work.key for work in works(wanted.quick)} | set(names) - {peer.name for peer in peers()}
    if unknown:
        print(f"not known: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    rounds = wanted.rounds or (1 if wanted.quick else 5)
    there, missing = install(chosen)
    chance, results, broken, started = random.Random(1), {}, {}, time.monotonic()
    shutil.rmtree(DATA, ignore_errors=True)
    try:
        for work in plan:
            results[work.key], fell = run_work(work, there, rounds, chance)
            if fell:
                broken[work.key] = fell
    except BoxError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(DATA, ignore_errors=True)
    wanted.out.mkdir(parents=True, exist_ok=True)
    run = {
        "commit": commit(), "cores": os.cpu_count(), "kernel": platform.release(), "quick": wanted.quick, "rounds": rounds,
        "seconds": round(time.monotonic() - started), "titles": {work.key: work.title for work in plan},
        "results": results, "broken": broken, "left_out": missing,
    }
    report.write(run, wanted.out)
    print((wanted.out / "table.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
