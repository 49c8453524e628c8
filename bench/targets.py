"""What we want to reach, as rules over the medians of one run. A rule that can't be judged (a peer is missing) says so."""

from dataclasses import dataclass
from typing import Callable

MB = 1_000_000


@dataclass
class Target:
    key: str
    text: str
    judge: Callable


class Unknown(Exception):
    """A figure that this run does not have."""


class Figures:
    """Medians of one run: `figures(work, peer, protocol, name)`."""

    def __init__(self, results):
        self.results = results

    def __call__(self, work, peer, protocol, name):
        try:
            value = self.results[work][f"{peer} {protocol}"]["median"][name]
        except KeyError:
            value = None
        # Where nothing succeeded there is no speed to compare with.
        if not value and name in ("mb_per_s", "files_per_s", "cpu_s"):
            value = None
        if value is None:
            raise Unknown(f"no {name} of {peer} ({protocol}) in {work}")
        return value

    def best(self, work, name, highest=True):
        """The best figure of a peer that failed nothing."""
        values = [
            row["median"][name]
            for who, row in self.results.get(work, {}).items()
            if who.split()[0] not in ("ddx", "floor") and row["median"].get(name) and not row["failures"]
        ]
        if not values:
            raise Unknown(f"no peer has {name} in {work}")
        return max(values) if highest else min(values)

    def clean(self, work, peer="ddx"):
        """Whether every upload of ours succeeded, nothing was killed and no byte was wrong."""
        rows = [row for who, row in self.results.get(work, {}).items() if who.split()[0] == peer]
        if not rows:
            raise Unknown(f"{work} was not run")
        return all(not row["failures"] and not row["digests_wrong"] and not row["oom_kills"] for row in rows)


def ratio(value, least, of):
    return value >= least, f"{value:.2f} × {of} (want ≥ {least})"


def at_most(value, most, what, scale=1.0, unit=""):
    return value <= most, f"{what} {value / scale:.3g}{unit} (want ≤ {most / scale:g}{unit})"


def both(*judged):
    return all(ok for ok, _ in judged), "; ".join(text for _, text in judged)


def p1(of):
    rows = []
    for protocol in ("put", "tus"):
        speed = of("one", "ddx", protocol, "mb_per_s")
        rows.append(ratio(speed / of("one", "floor", "put", "mb_per_s"), 0.95, f"floor by {protocol}"))
        rows.append(ratio(speed / of.best("one", "mb_per_s"), 1.1, f"best peer by {protocol}"))
    return both(*rows)


def p2(of):
    rows = []
    for protocol in ("put", "tus"):
        cpu = of("one", "ddx", protocol, "cpu_s")
        rows.append(at_most(cpu / of("one", "floor", "put", "cpu_s"), 1.2, f"{protocol} × floor's CPU"))
        rows.append(at_most(cpu / of.best("one", "cpu_s", highest=False), 0.75, f"{protocol} × best peer's CPU"))
    return both(*rows)


def p3(of):
    rows = [(of.clean("twenty"), "all uploads whole")]
    for protocol in ("put", "tus"):
        speed = of("twenty", "ddx", protocol, "mb_per_s")
        rows.append(ratio(speed / of("twenty", "floor", "put", "mb_per_s"), 0.95, f"floor by {protocol}"))
        rows.append(ratio(speed / of.best("twenty", "mb_per_s"), 1.5, f"best peer by {protocol}"))
        rows.append(at_most(of("twenty", "ddx", protocol, "anonymous_peak_bytes"), 48 * MB, "anonymous", MB, " MB"))
    return both(*rows)


def p4(of):
    rows = []
    for work in ("hundreds-64", "hundreds-32"):
        rows.append((of.clean(work), f"{work}: all whole, nothing killed"))
        for protocol in ("put", "tus"):
            rows.append(ratio(of(work, "ddx", protocol, "mb_per_s") / of(work, "nginx", "put", "mb_per_s"), 1.5, f"nginx by {protocol}"))
    return both(*rows)


def p5(of):
    rows = [(of.clean("slow"), "all whole")]
    for protocol in ("put", "tus"):
        rows.append(at_most(of("slow", "ddx", protocol, "anonymous_peak_bytes"), 100 * MB, f"anonymous by {protocol}", MB, " MB"))
        rows.append(at_most(of("slow", "ddx", protocol, "box_peak_bytes"), 200 * MB, "box", MB, " MB"))
    return both(*rows)


def p6(of):
    return both(
        (of.clean("slow-10000"), "all whole"),
        at_most(of("slow-10000", "ddx", "put", "seconds"), 25, "took", 1, " s"),
        at_most(of("slow-10000", "ddx", "put", "open_p99_ms"), 150, "open p99", 1, " ms"),
    )


def p7(of):
    return both(
        ratio(of("parts", "ddx", "tus", "mb_per_s") / of("one", "ddx", "tus", "mb_per_s"), 0.95, "one stream's speed"),
        at_most(of("parts", "ddx", "tus", "link_after_ms"), 10, "link after", 1, " ms"),
    )


def p8(of):
    rows = [at_most(of("create-20", "ddx", "tus", "p99_ms"), 5, "beside 20: p99", 1, " ms")]
    rows.append(at_most(of("create-5000", "ddx", "tus", "p99_ms"), 100, "beside 5,000: p99", 1, " ms"))
    return both(*rows)


def p9(of):
    return both(
        ratio(of("small", "ddx", "put", "files_per_s") / of("small", "nginx", "put", "files_per_s"), 1.0, "nginx by put"),
        ratio(of("small", "ddx", "tus", "files_per_s") / of("small", "tusd", "tus", "files_per_s"), 3.0, "tusd by tus"),
        at_most(of("small", "ddx", "put", "p99_ms"), 10, "put p99", 1, " ms"),
        at_most(of("small", "ddx", "tus", "p99_ms"), 10, "tus p99", 1, " ms"),
    )


def p10(of):
    return ratio(of("get", "ddx", "put", "mb_per_s") / of("get", "nginx", "put", "mb_per_s"), 0.7, "nginx's GET")


def p11(of):
    return both(
        at_most(of("idle", "ddx", "put", "resident_bytes"), 12 * MB, "resident", MB, " MB"),
        at_most(of("idle", "ddx", "put", "idle_cpu_s"), 0.01, "CPU in 5 s", 1, " s"),
        at_most(of("idle", "ddx", "put", "ready_s"), 0.1, "ready after", 1, " s"),
    )


TARGETS = [
    Target("P1", "1 client × 1 GiB, durable and hashed: ≥ 0.95 × floor, ≥ 1.1 × the best peer", p1),
    Target("P2", "its CPU: ≤ 1.2 × floor, ≤ 0.75 × the best peer", p2),
    Target("P3", "20 × 256 MiB in 128 MiB: ≥ 0.95 × floor, ≥ 1.5 × the best peer, ≤ 48 MB anonymous", p3),
    Target("P4", "200 × 16 MiB in 64 and 32 MiB: all whole, ≥ 1.5 × nginx", p4),
    Target("P5", "5,000 slow clients: ≤ 100 MB anonymous, box ≤ 200 MB", p5),
    Target("P6", "10,000 slow clients in 256 MiB: all within 25 s, open p99 ≤ 150 ms", p6),
    Target("P7", "4 parallel parts: no slower than one, link ≤ 10 ms after the last", p7),
    Target("P8", "creation p99: ≤ 5 ms beside 20 busy, ≤ 100 ms beside 5,000", p8),
    Target("P9", "4 KiB files, durable: PUT ≥ nginx, tus ≥ 3 × tusd, p99 ≤ 10 ms", p9),
    Target("P10", "download of 1 GiB: ≥ 0.7 × nginx", p10),
    Target("P11", "idle: ≤ 12 MB resident, no CPU, ready within 100 ms", p11),
]


def judge(results):
    """`(key, text, verdict, figures)` of each target; the verdict is "met", "not met" or "not measured"."""
    of = Figures(results)
    rows = []
    for target in TARGETS:
        try:
            ok, told = target.judge(of)
            rows.append((target.key, target.text, "met" if ok else "not met", told))
        except Unknown as missing:
            rows.append((target.key, target.text, "not measured", str(missing)))
    return rows
