#!/usr/bin/env python3
"""Coverage-guided fuzzing: each target for FUZZ_SECONDS (30 by default), on all cores. `fuzz.py NAME…` takes only these.

The seeds are in fuzz/corpus. What libFuzzer adds stays in target/fuzz/corpus, so that the next run goes on from there.
An input that breaks a promise is written to target/fuzz/found and named; put it into fuzz/corpus/<target> together
with the repair, where the ordinary tests replay it for good.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()
SEEDS = ROOT / "fuzz" / "corpus"
WORK = TARGET / "fuzz"
INPUT_BYTES_MAX = 4096
MEMORY_MIB_MAX = 1024
ONE_INPUT_SECONDS_MAX = 10


def build() -> Path:
    """Counters go into our own crates only, by a wrapper around the compiler.

    The whole workspace is named so that registry crates have the features of the other builds, and are not built anew.
    """
    env = {**os.environ, "RUSTC_WORKSPACE_WRAPPER": str(ROOT / "fuzz" / "instrument.sh")}
    command = ["cargo", "build", "--quiet", "--locked", "--workspace", "--bin", "ddx-fuzz"]
    command += ["--features", "ddx-fuzz/coverage"]
    subprocess.run(command, cwd=ROOT, env=env, check=True)
    binary = WORK / "ddx-fuzz"
    WORK.mkdir(parents=True, exist_ok=True)
    shutil.copy2(TARGET / "debug" / "ddx-fuzz", binary)
    return binary


def fuzz(binary: Path, name: str, seconds: int) -> tuple:
    """Runs one target; its name, whether it held, one line of figures, and the end of the output if it did not."""
    grown, found = WORK / "corpus" / name, WORK / "found"
    grown.mkdir(parents=True, exist_ok=True)
    found.mkdir(exist_ok=True)
    command = [
        binary,
        f"-max_total_time={seconds}",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-rss_limit_mb={MEMORY_MIB_MAX}",
        f"-timeout={ONE_INPUT_SECONDS_MAX}",
        f"-artifact_prefix={found / name}-",
        "-use_value_profile=1",
        "-print_final_stats=1",
        grown,
        SEEDS / name,
    ]
    env = {**os.environ, "DDX_FUZZ_TARGET": name}
    done = subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace", check=False
    )
    runs = re.findall(r"number_of_executed_units:\s*(\d+)", done.stdout)
    covered = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", done.stdout)
    held = done.returncode == 0 and bool(runs) and bool(covered)
    figures = f"{int(runs[-1]):>9,} inputs" if runs else "no figures"
    if covered:
        figures += " {:>6} places {:>6} features {:>5} kept".format(*covered[-1])
    return name, held, figures, "" if held else "\n".join(done.stdout.splitlines()[-40:])


def main(names: list) -> int:
    targets = sorted(folder.name for folder in SEEDS.iterdir())
    unknown = [name for name in names if name not in targets]
    if unknown:
        print(f"no such target: {', '.join(unknown)}; there are {', '.join(targets)}")
        return 2
    seconds = int(os.environ.get("FUZZ_SECONDS", "30"))
    if seconds < 1:
        print(f"FUZZ_SECONDS={seconds} would fuzz nothing, or without an end; give a number from 1")
        return 2
    started = time.monotonic()
    binary = build()
    print(f"built in {time.monotonic() - started:.0f} s; {len(names or targets)} targets, {seconds} s each")
    failed = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as workers:
        for name, held, figures, output in workers.map(lambda name: fuzz(binary, name, seconds), names or targets):
            print(f"  {' ok ' if held else 'FAIL'} {name:<20} {figures}", flush=True)
            if not held:
                failed.append(name)
                print(output)
    print(f"{len(names or targets) - len(failed)} held, {len(failed)} broke a promise, {time.monotonic() - started:.0f} s in all")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
