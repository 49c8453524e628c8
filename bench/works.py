"""What is measured: each work is one run of the load generator against one server in one box, and which servers take part.

Sizes, boxes and times are those of the targets; QUICK makes everything smaller except what one transfer needs to reach its speed.
"""

import resource
from dataclasses import dataclass, field

MIB = 1 << 20
GIB = 1 << 30


@dataclass
class Work:
    """`who` are pairs of a peer's name and the protocol it is sent; `beside` runs while the work is measured."""

    key: str
    title: str
    box_bytes: int
    load: list
    who: list
    many: bool = False
    beside: list = field(default_factory=list)
    before: list = field(default_factory=list)
    settle_s: float = 2.5
    cold: bool = False
    idle: bool = False
    rounds_max: int = 1000
    within_s: int = 120


OURS = [("ddx", "put"), ("ddx", "tus")]
FLOOR = [("floor", "put")]
NGINX, TUSD = [("nginx", "put")], [("tusd", "tus")]
REST = [("tus-node", "tus"), ("rustus", "tus"), ("dufs", "put"), ("copyparty", "put")]


def most_slow_clients(wanted):
    """No more than the limit of open files allows: a slow upload needs two, its connection and its file."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, (hard - 200) // 200 * 100)


def works(quick):
    """All works, in the order in which they are run."""
    few = FLOOR + OURS + NGINX + TUSD
    slow, slow_over, slow_arrive = (1000, 5, 1) if quick else (5000, 20, 2)
    small = 3000 if quick else 10000
    many = most_slow_clients(10000)
    all_works = [
        Work("one", "1 client × 1 GiB", 4 * GIB, ["large", "--clients", "1", "--bytes", "1GiB"], few + REST),
        Work("twenty", "20 clients × 256 MiB, box 128 MiB", 128 * MIB,
             ["large", "--clients", "20", "--bytes", "64MiB" if quick else "256MiB"], few + REST, many=True),
        Work("hundreds-64", "200 clients × 16 MiB, box 64 MiB", 64 * MIB,
             ["large", "--clients", "200", "--bytes", "4MiB" if quick else "16MiB"], OURS + NGINX + TUSD, many=True),
        Work("hundreds-32", "200 clients × 16 MiB, box 32 MiB", 32 * MIB,
             ["large", "--clients", "200", "--bytes", "4MiB" if quick else "16MiB"], OURS + NGINX + TUSD, many=True, rounds_max=3),
        Work("slow", f"{slow:,} slow clients (64 KiB over {slow_over} s)", 4 * GIB,
             ["slow", "--clients", str(slow), "--bytes", "64KiB", "--over", f"{slow_over}s", "--arrive", f"{slow_arrive}s"],
             OURS + NGINX + TUSD + ([] if quick else REST[:3]), rounds_max=2),
        Work("parts", "1 GiB in 4 parallel parts, joined", 4 * GIB, ["parts", "--parts", "4", "--bytes", "1GiB"], [("ddx", "tus"), ("tusd", "tus")]),
        Work("create-20", "creations beside 20 busy uploads", 4 * GIB,
             ["create", "--count", "100" if quick else "500", "--connections", "4", "--rate", "100"], [("ddx", "tus"), ("tusd", "tus")],
             beside=["large", "--clients", "20", "--bytes", "192MiB" if quick else "640MiB"], settle_s=0.5, rounds_max=5),
        Work("small", f"{small:,} files of 4 KiB, 16 connections", 4 * GIB,
             ["small", "--files", str(small), "--bytes", "4KiB", "--connections", "16"],
             OURS + [("ddx", "tus-with-upload")] + NGINX + TUSD + ([] if quick else REST)),
        *[
            Work(key, title, 4 * GIB, ["get", "--clients", "1", "--bytes", "1GiB"], [("ddx", "put"), ("nginx", "put"), ("dufs", "put")],
                 before=["large", "--clients", "1", "--bytes", "1GiB"], cold=cold)
            for key, title, cold in (("get", "download of 1 GiB, again", False), ("get-cold", "download of 1 GiB, from the disk", True))
        ],
        Work("idle", "started, and left alone for 5 s", 4 * GIB, [], [("ddx", "put"), ("nginx", "put"), ("tusd", "tus")], idle=True, rounds_max=3),
    ]
    if not quick:
        all_works[5:5] = [
            Work("slow-10000", f"{many:,} slow clients (64 KiB over 20 s), box 256 MiB", 256 * MIB,
                 ["slow", "--clients", str(many), "--bytes", "64KiB", "--over", "20s", "--arrive", "2s"], OURS + [("nginx", "put"), ("tus-node", "tus")],
                 rounds_max=2, within_s=180),
        ]
        at = next(index for index, work in enumerate(all_works) if work.key == "small")
        all_works[at:at] = [
            Work("create-5000", "creations beside 5,000 slow uploads", 4 * GIB,
                 ["create", "--count", "1000", "--connections", "4", "--rate", "100"], [("ddx", "tus"), ("tusd", "tus")],
                 beside=["slow", "--clients", "5000", "--bytes", "64KiB", "--over", "20s", "--arrive", "2s"], rounds_max=2),
        ]
    return all_works
