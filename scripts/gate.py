#!/usr/bin/env python3
"""The gate: `gate.py lint`, `gate.py test`, or both. Used by make and by CI, so that they can't differ.

Every step runs even if an earlier one failed (unless it needs that one), so that one run tells everything.
A lint step counts as one check; a test step counts the tests that its runner says it ran. It is a failure
when a step exits with an error, when a runner ran no test, when anything was skipped, and when a part of
the project that must have tests is not there. The last line is `N passed, N failed`.

A Rust test that fails is tried up to twice more, a browser test once more, so that chance does not decide
about a change. One that passes then is flaky: it counts as passed, and the summary names it and tells its
first failure. More than FLAKY_MAX of them in a run are a failure. `make flaky` hunts them.
"""

import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Optional, TextIO

import counts
from counts import Counts

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()
TOOLS = TARGET / "tools"
CLIENTS_VENV = TARGET / "clients-venv"
REPORTS = TARGET / "reports"
WEB = ROOT / "web"
CLIENTS = ROOT / "tests" / "clients"
KERNEL = TARGET / "kernel"
KERNEL_PACKAGE = "linux-image-cloud-amd64"
PAGES = "pages"
BUILD = "build"
RUST_TESTS = "Rust tests"
DOCUMENTS = "generated documents"
DDX_BIN = TARGET / "debug" / "ddx"
# What a machine that others use as well does to a few tests that wait. More is a fault of ours.
FLAKY_MAX = 3
NAMED_MAX = 20
# The runners that an interrupt has to end.
RUNNING = set()
# By name of the step.
BEGUN = defaultdict(threading.Event)
INTERRUPTED = threading.Event()
# nextest gives each test ten seconds to end when it is told to end itself.
END_SECONDS_MAX = 20


@dataclass
class Step:
    """One command. `read` makes it a test step: it turns the output and the file `report` into counts.

    A step `beside` the others goes on while those after it run, and prints what it said when it has ended. It
    is for what mostly builds or mostly waits, and no other step may need it. One with `once_begun` starts when
    the step of that name has printed its `begun`, or is over.
    """

    name: str
    command: list
    cwd: Path = ROOT
    env: dict = field(default_factory=dict)
    needs: tuple = ()
    read: Optional[Callable[[str, str], Counts]] = None
    report: Optional[Path] = None
    may_be_empty: bool = False
    beside: bool = False
    begun: str = ""
    once_begun: str = ""
    minutes_max: int = 20


@dataclass
class Result:
    name: str
    counts: Counts
    seconds: float
    note: str = ""


def stamp(path: Path, inputs: list) -> tuple:
    """Whether what `path` stands for was made from these very files, and the stamp that says so."""
    digest = hashlib.sha256()
    for item in inputs:
        digest.update(item.read_bytes())
    want = digest.hexdigest()
    return path.is_file() and path.read_text().strip() == want, want


def call(command: list, cwd: Path = ROOT) -> None:
    print("   $", " ".join(str(part) for part in command), flush=True)
    subprocess.run([str(part) for part in command], cwd=cwd, stdin=subprocess.DEVNULL, check=True)


def install_venv(folder: Path, requirements: Path, hashes: bool) -> None:
    fresh, want = stamp(folder / ".installed-for", [requirements])
    if fresh:
        return
    shutil.rmtree(folder, ignore_errors=True)
    call([sys.executable, "-m", "venv", folder])
    extra = ["--require-hashes", "--only-binary", ":all:"] if hashes else []
    call([folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", *extra, "-r", requirements])
    (folder / ".installed-for").write_text(want)


def install_npm(folder: Path) -> None:
    lock = folder / "package-lock.json"
    marker = folder / "node_modules" / ".installed-for"
    fresh, want = stamp(marker, [lock])
    if fresh:
        return
    call(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder)
    marker.write_text(want)


def install_apt() -> None:
    """Debian packages that are missing, as root. Elsewhere their names are printed and the tests decide."""
    if not shutil.which("dpkg-query"):
        print("not a Debian system: see scripts/apt.txt for what the tests need")
        return
    lines = (ROOT / "scripts" / "apt.txt").read_text().splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    asked = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Status}\n", *wanted], capture_output=True, text=True, check=False
    )
    there = {line.split()[0] for line in asked.stdout.splitlines() if line.endswith("ok installed")}
    missing = [name for name in wanted if name not in there]
    if not missing:
        return
    if os.geteuid() != 0:
        print("missing Debian packages, and not root to install them:", " ".join(missing))
        return
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    call(["apt-get", "update", "-qq"])
    call(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing])


def install_kernel(folder: Path) -> None:
    """Debian's kernel for the tests that boot a machine: a file, not an installed package, so nothing else here changes.

    Where it is missing, those tests fail, and say so.
    """
    if (folder / "vmlinuz").is_file():
        return
    if not shutil.which("apt-get"):
        print("not a Debian system: set DDX_TEST_KERNEL to a kernel with NVMe and ext4 built in")
        return
    if os.geteuid() == 0:
        call(["apt-get", "update", "-qq"])
    asked = subprocess.run(
        ["apt-cache", "show", "--no-all-versions", KERNEL_PACKAGE], capture_output=True, text=True, check=True
    )
    # The package only names the newest one.
    (depends,) = [line for line in asked.stdout.splitlines() if line.startswith("Depends: ")]
    package = depends.split()[1]
    shutil.rmtree(folder, ignore_errors=True)
    unpacked = folder / "unpacked"
    unpacked.mkdir(parents=True)
    call(["apt-get", "download", "-qq", package], cwd=folder)
    (archive,) = folder.glob("*.deb")
    call(["dpkg-deb", "-x", archive, unpacked])
    (kernel,) = unpacked.glob("boot/vmlinuz-*")
    kernel.rename(folder / "vmlinuz")
    shutil.rmtree(unpacked)
    archive.unlink()


def unwind() -> None:
    """Makes every request to end unwind as one from the keyboard does, so that nothing is left running."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.default_int_handler)


def end(process: subprocess.Popen) -> None:
    """Ends a runner and all that it started, or the pipe stays open.

    The runner is asked first: nextest puts each test into a process group of its own, which no signal of
    ours reaches, and it writes its report when it is asked.
    """
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS_MAX)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run(step: Step, out: Optional[TextIO] = None) -> Result:
    """Runs one step, prints its output as it comes, and counts."""
    out = out or sys.stdout
    print(f"\n── {step.name}\n   $ {' '.join(str(part) for part in step.command)}", file=out, flush=True)
    started = time.monotonic()
    if step.report:
        step.report.unlink(missing_ok=True)
    try:
        process = subprocess.Popen(
            [str(part) for part in step.command],
            cwd=step.cwd,
            env={**os.environ, **{key: str(value) for key, value in step.env.items()}},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:  # a tool that did not install
        BEGUN[step.name].set()
        return Result(step.name, Counts(0, 1), 0.0, str(error))
    RUNNING.add(process)
    late = threading.Event()

    def stop() -> None:
        late.set()
        end(process)

    timer = threading.Timer(step.minutes_max * 60, stop)
    timer.start()
    seen = []
    try:
        for line in process.stdout:
            seen.append(line)
            out.write(line)
            out.flush()
            if step.begun and step.begun in line:
                BEGUN[step.name].set()
        code = process.wait()
    except BaseException:
        # Its session is not ours, so an interrupt from the keyboard does not reach it.
        end(process)
        raise
    finally:
        BEGUN[step.name].set()
        RUNNING.discard(process)
        timer.cancel()
        process.stdout.close()
    note = f"exit code {code}" if code else ""
    if late.is_set():
        # Whatever it said when it was asked to end.
        code, note = code or 1, f"stopped after {step.minutes_max} minutes"
    return Result(step.name, *judge(step, code, "".join(seen), note, started))


def judge(step: Step, code: int, text: str, note: str, started: float) -> tuple:
    """Counts, seconds and note of a finished step: the only place where 'did it pass' is decided."""
    seconds = time.monotonic() - started
    if step.read is None:
        return Counts(0, 1) if code else Counts(1, 0), seconds, note
    try:
        got = step.read(text, step.report.read_text() if step.report else "")
    except (OSError, ValueError, KeyError) as error:
        return Counts(0, 1), seconds, f"{note} no report: {error}".strip()
    if got.ran == 0 and not (step.may_be_empty and code == 0):
        return got + Counts(0, 1), seconds, f"{note} no test ran".strip()
    if code and got.failed == 0:
        got += Counts(0, 1)
    return got, seconds, note


def guard(name: str, work: Callable[[], None]) -> Optional[Result]:
    """A preparation: nothing to count if it works, one failure if it does not."""
    started = time.monotonic()
    print(f"\n── {name}", flush=True)
    try:
        work()
        return None
    except (OSError, subprocess.CalledProcessError) as error:
        print(error)
        return Result(name, Counts(0, 1), time.monotonic() - started, str(error))


def required(folder: Path) -> bool:
    return (folder / "package.json").is_file()


def lint_steps() -> list:
    cargo = ["cargo", "--locked"]
    steps = [
        Step("rustfmt", ["cargo", "fmt", "--all", "--check"]),
        Step(
            "clippy",
            [*cargo, "clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"],
            needs=(PAGES,),
        ),
        Step(
            "rustdoc",
            [*cargo, "doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"],
            env={"RUSTDOCFLAGS": "-D warnings"},
            needs=(PAGES,),
        ),
        Step(
            "cargo-deny",
            [TOOLS / "bin" / "cargo-deny", "--log-level", "error", "check", "bans", "licenses", "sources"],
        ),
        Step("cargo-shear", [TOOLS / "bin" / "cargo-shear", "--deny-warnings"]),
        Step("typos", [TOOLS / "bin" / "typos"]),
        Step("rules of the house", ["cargo", "xtask", "tidy"]),
        Step(DOCUMENTS, ["cargo", "xtask", "docs", "--check"], needs=(PAGES,)),
    ]
    if required(WEB):
        steps.append(Step("pages: types and style", ["npm", "run", "check"], cwd=WEB, needs=(PAGES,), beside=True))
    return steps


def rust_tests(root: Path = ROOT, again: bool = True, more: tuple = ()) -> Step:
    """The Rust tests of a workspace. How often one is tried again stands in .config/nextest.toml.

    Most of them wait for a disk, a client or a time limit, so there are three times as many at a time as cores.
    """
    threads = f"--test-threads={3 * (os.cpu_count() or 1)}"
    command = [TOOLS / "bin" / "cargo-nextest", "nextest", "run", "--locked", "--workspace", "--all-targets"]
    return Step(
        RUST_TESTS,
        [*command, "--profile", "gate", threads, *([] if again else ["--retries", "0"]), *more],
        cwd=root,
        # A snapshot that differs is a failure, and is never written anew by the gate.
        env={
            "DDX_TEST_PYTHON": CLIENTS_VENV / "bin" / "python",
            "DDX_TEST_KERNEL": KERNEL / "vmlinuz",
            "INSTA_UPDATE": "no",
        },
        needs=(BUILD,),
        read=counts.nextest,
        # nextest puts it below the workspace, wherever cargo builds.
        report=root / "target" / "nextest" / "gate" / "junit.xml",
        minutes_max=30,
        # From here on it leaves cargo to others.
        begun="Starting ",
    )


def page_tests(more: tuple = ()) -> Step:
    """The unit tests of the pages. They wait for nothing outside, so none is ever tried again."""
    report = REPORTS / "vitest.json"
    reporters = ["--reporter=default", "--reporter=json", f"--outputFile.json={report}"]
    return Step(
        "pages: unit tests",
        ["npx", "--no-install", "vitest", "run", *reporters, *more],
        cwd=WEB,
        needs=(PAGES,),
        read=counts.vitest,
        report=report,
        beside=True,
        once_begun=RUST_TESTS,
    )


def browser_tests(root: Path = WEB, reports: Path = REPORTS, again: bool = True, more: tuple = ()) -> Step:
    """The pages in a browser; a folder other than web/ must have its node_modules."""
    report = reports / "playwright.json"
    return Step(
        "pages: in a browser",
        ["npx", "--no-install", "playwright", "test", "--reporter=list,json", f"--retries={int(again)}", *more],
        cwd=root,
        env={"DDX_BIN": DDX_BIN, "PLAYWRIGHT_JSON_OUTPUT_NAME": report, "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1"},
        needs=(PAGES, BUILD),
        read=counts.playwright,
        report=report,
    )


def build_step() -> Step:
    return Step(BUILD, ["cargo", "--locked", "build", "--workspace", "--all-targets"], needs=(PAGES,))


def test_steps() -> list:
    return [
        Step("the gate's own arithmetic", [sys.executable, "-m", "unittest"], cwd=ROOT / "scripts", read=counts.unittest, beside=True),
        build_step(),
        Step(
            "fuzzing, guided by coverage",
            # It takes what the tests leave of the processors: half of them, while they wait.
            ["nice", "-n", "19", sys.executable, ROOT / "scripts" / "fuzz.py"],
            env={"FUZZ_SECONDS": 2},
            needs=(BUILD,),
            read=counts.fuzz,
            beside=True,
            once_begun=RUST_TESTS,
        ),
        page_tests(),
        rust_tests(),
        Step(
            "Rust examples in documentation",
            ["cargo", "--locked", "test", "--doc", "--workspace"],
            env={"DDX_TEST_PYTHON": CLIENTS_VENV / "bin" / "python"},
            needs=(BUILD,),
            read=counts.cargo_test,
            may_be_empty=True,
        ),
        browser_tests(),
    ]


def steps_of(kinds: list) -> list:
    """All steps in order. With both kinds the documents come from the binary that the tests build anyway."""
    lint = lint_steps() if "lint" in kinds else []
    test = test_steps() if "test" in kinds else []
    if lint and test:
        documents = next(step for step in lint if step.name == DOCUMENTS)
        lint.remove(documents)
        documents.env, documents.needs = {"DDX_BIN": DDX_BIN}, (BUILD,)
        test.insert(1 + next(at for at, step in enumerate(test) if step.name == BUILD), documents)
    return lint + test


def build_pages() -> None:
    install_npm(WEB)
    call(["npm", "run", "build"], cwd=WEB)


def prepare(kinds: list) -> list:
    """Everything that must be installed or built first. Failures come back as results."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    work = [("tools", lambda: install_venv(TOOLS, ROOT / "scripts" / "tools.txt", hashes=True))]
    if "test" in kinds:
        work.append(("Debian packages", install_apt))
        work.append(("kernel of the tests' machine", lambda: install_kernel(KERNEL)))
        if (CLIENTS / "package.json").is_file():
            work.append(("clients in Node.js", lambda: install_npm(CLIENTS)))
        if (CLIENTS / "requirements.txt").is_file():
            work.append(
                ("clients in Python", lambda: install_venv(CLIENTS_VENV, CLIENTS / "requirements.txt", hashes=False))
            )
    if required(WEB):
        work.append((PAGES, build_pages))
    results = [result for result in (guard(name, job) for name, job in work) if result]
    # A part that must be there and is not is a failure, not a silence.
    for folder in [WEB] + ([CLIENTS] if "test" in kinds else []):
        if not required(folder):
            name = PAGES if folder == WEB else f"{folder.relative_to(ROOT)}"
            results.append(Result(name, Counts(0, 1), 0.0, f"{folder.relative_to(ROOT)}/package.json is missing"))
    return results


def main(kinds: list) -> int:
    if not kinds or any(kind not in ("lint", "test") for kind in kinds):
        print(__doc__)
        return 2
    started = time.monotonic()
    results = prepare(kinds)
    results += run_all(steps_of(kinds), {result.name for result in results})
    return close(results, time.monotonic() - started)


def run_all(steps: list, broken: set) -> list:
    """Runs the steps, and those `beside` the others in threads; results in the order of the steps."""
    results = []
    with ThreadPoolExecutor(max(1, len(steps))) as threads:
        try:
            for step in steps:
                # Without web/ the crates still build (the server then has no pages), so only steps
                # inside web/ are held back.
                blockers = [need for need in step.needs if need in broken and (need != PAGES or step.cwd == WEB or required(WEB))]
                if blockers:
                    BEGUN[step.name].set()
                    results.append(done(Result(step.name, Counts(0, 1), 0.0, f"not run: {blockers[0]} failed")))
                elif step.beside:
                    results.append(threads.submit(run_quietly, step))
                else:
                    results.append(done(run(step)))
                    if results[-1].result().counts.failed:
                        broken.add(step.name)
            return [each.result() for each in results]
        except BaseException:
            # Before the threads are waited for, which wait for their runners, and for other steps.
            INTERRUPTED.set()
            for each in steps:
                BEGUN[each.name].set()
            for process in list(RUNNING):
                end(process)
            raise


def run_quietly(step: Step) -> Result:
    """Runs a step beside others: its output comes in one piece."""
    if step.once_begun:
        BEGUN[step.once_begun].wait()
        if INTERRUPTED.is_set():
            return Result(step.name, Counts(0, 1), 0.0, "interrupted")
    out = io.StringIO()
    result = run(step, out)
    # One write, so that nothing of another step comes between.
    sys.stdout.write(out.getvalue())
    sys.stdout.flush()
    return result


def done(result: Result) -> Future:
    future = Future()
    future.set_result(result)
    return future


def close(results: list, seconds: float) -> int:
    """The table, what failed and what was flaky, the time, and the closing line."""
    print("\n── summary")
    flaky = sum(len(result.counts.flaky) for result in results)
    if flaky > FLAKY_MAX:
        note = f"{flaky} flaky tests, and at most {FLAKY_MAX} are let through"
        results = [*results, Result("chance", Counts(0, 1), 0.0, note)]
    total = Counts()
    for result in results:
        total += result.counts
        mark = "FAIL" if result.counts.failed or result.counts.skipped else " ok "
        note = " ".join(filter(None, [f"{len(result.counts.flaky)} flaky" if result.counts.flaky else "", result.note]))
        print(f"  {mark} {result.name:<32} {result.counts.line():<36} {result.seconds:7.1f} s  {note}")
    print(f"  {int(seconds // 60)} min {int(seconds % 60)} s in all")
    tell("failed", total.failures)
    tell("flaky, passed only when tried again", total.flaky)
    if total.skipped:
        print(f"  {total.skipped} tests did not run, which counts as a failure")
    print(total.line(), flush=True)
    return 1 if total.failed or total.skipped or not total.passed else 0


def tell(what: str, failures: list) -> None:
    """Names tests with their first messages. A run where all is red needs no list of all."""
    for failure in failures[:NAMED_MAX]:
        print(f"  {what}: {failure.test}")
        print("".join(f"      {line}\n" for line in failure.message.splitlines()), end="")
    if len(failures) > NAMED_MAX:
        print(f"  {what}: {len(failures) - NAMED_MAX} more")


if __name__ == "__main__":
    unwind()
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("\ninterrupted")
        sys.exit(130)
