"""The table, the state of the targets, and the plots of one run."""

import json
from pathlib import Path

import targets

MB = 1_000_000

COLUMNS = [
    ("MB/s", "mb_per_s", lambda value: f"{value:,.0f}"),
    ("files/s", "files_per_s", lambda value: f"{value:,.0f}"),
    ("CPU s", "cpu_s", lambda value: f"{value:.2f}"),
    ("p50 ms", "p50_ms", lambda value: f"{value:,.1f}"),
    ("p99 ms", "p99_ms", lambda value: f"{value:,.1f}"),
    ("open p99 ms", "open_p99_ms", lambda value: f"{value:,.1f}"),
    ("link after ms", "link_after_ms", lambda value: f"{value:,.1f}"),
    ("anonymous MB", "anonymous_peak_bytes", lambda value: f"{value / MB:,.1f}"),
    ("box MB", "box_peak_bytes", lambda value: f"{value / MB:,.0f}"),
    ("resident MB", "resident_bytes", lambda value: f"{value / MB:,.1f}"),
    ("ready s", "ready_s", lambda value: f"{value:.3f}"),
]
# What each work is about; other columns would be noise.
SHOWN = {
    "slow": {"CPU s", "p99 ms", "open p99 ms", "anonymous MB", "box MB"},
    "create": {"files/s", "p50 ms", "p99 ms", "CPU s"},
    "small": {"files/s", "CPU s", "p50 ms", "p99 ms", "anonymous MB"},
    "idle": {"resident MB", "anonymous MB", "ready s"},
    "parts": {"MB/s", "CPU s", "link after ms", "anonymous MB"},
    "": {"MB/s", "CPU s", "anonymous MB", "box MB"},
}
RATED = {"small": "files_per_s", "create": "p99_ms", "slow": "anonymous_peak_bytes", "idle": "resident_bytes"}


def kind(key):
    return key.split("-")[0]


def cell(row, name, show):
    value = row["median"].get(name)
    if value is None:
        return ""
    low, high = row["spread"][name]
    spread = f" ({show(low)}–{show(high)})" if row["rounds"] > 1 and show(low) != show(high) else ""
    return show(value) + spread


def trouble(row):
    told = [f"{count} × {reason}" for reason, count in row["failures"].items()]
    if row["digests_wrong"]:
        told.append(f"{row['digests_wrong']} wrong")
    if row["oom_kills"]:
        told.append(f"{row['oom_kills']} killed for memory")
    return "; ".join(told)


def table(key, rows, broken):
    shown = SHOWN.get(kind(key), SHOWN[""])
    columns = [column for column in COLUMNS if column[0] in shown]
    rated = RATED.get(kind(key), "mb_per_s")
    mine = next((row["median"].get(rated) for who, row in rows.items() if who.startswith("ddx ")), None)
    lines = ["| server | " + " | ".join(column[0] for column in columns) + " | ddx ÷ it | failures |"]
    lines.append("| --- |" + " --- |" * (len(columns) + 2))
    for who, row in rows.items():
        value = row["median"].get(rated)
        relation = f"{mine / value:.2f}" if mine and value and not who.startswith("ddx ") else ""
        cells = [cell(row, name, show) for _, name, show in columns]
        lines.append(f"| {who} | " + " | ".join(cells) + f" | {relation} | {trouble(row)} |")
    for who, why in broken.items():
        lines.append(f"| {who} | " + " | ".join("" for _ in columns) + f" | | fell out: {' '.join(why.split())[:120]} |")
    return lines


def text(run):
    lines = [
        "# Benchmark", "",
        f"Commit {run['commit']}, {run['cores']} cores, Linux {run['kernel']}, {run['rounds']} rounds at most, {run['seconds'] // 60} min"
        f"{', quick' if run['quick'] else ''}. Median (least–most). The last column but one divides our figure (of the first way in) by theirs.", "",
        "## Targets", "", "| | target | | figures |", "| --- | --- | --- | --- |",
    ]
    lines += [f"| {key} | {what} | {verdict} | {told} |" for key, what, verdict, told in targets.judge(run["results"])]
    for key, rows in run["results"].items():
        lines += ["", f"## {run['titles'][key]}", "", *table(key, rows, run["broken"].get(key, {}))]
    if run["left_out"]:
        lines += ["", "Left out: " + "; ".join(f"{name} ({why})" for name, why in run["left_out"].items())]
    return "\n".join(lines) + "\n"


def plots(run, folder):
    """One picture for each kind of figure that people ask about first."""
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "ddx", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    from matplotlib import pyplot

    for key, rows in run["results"].items():
        name = RATED.get(kind(key), "mb_per_s")
        scale = MB if name.endswith("_bytes") else 1
        label = next(title for title, field, _ in COLUMNS if field == name)
        bars = [(who, row["median"][name] / scale, [edge / scale for edge in row["spread"][name]]) for who, row in rows.items() if row["median"].get(name)]
        if not bars:
            continue
        bars.sort(key=lambda bar: bar[1])
        figure, axes = pyplot.subplots(figsize=(6.4, 0.6 + 0.34 * len(bars)))
        axes.barh(
            [who for who, _, _ in bars], [value for _, value, _ in bars],
            xerr=[[value - low for _, value, (low, _) in bars], [high - value for _, value, (_, high) in bars]],
            color=["#0b7a75" if who.startswith("ddx") else "#9aa5ad" for who, _, _ in bars], ecolor="#444444", capsize=2,
        )
        axes.set_title(run["titles"][key], loc="left", fontsize=10)
        axes.set_xlabel(label)
        figure.tight_layout()
        figure.savefig(folder / f"{key}.svg", metadata={"Date": None})
        pyplot.close(figure)


def write(run, folder: Path):
    (folder / "results.json").write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n")
    (folder / "table.md").write_text(text(run))
    plots(run, folder)
