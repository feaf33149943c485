"""A sweep's report as Markdown and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

COLUMNS = {"jaccard": "accuracy", "f1_example": "F-measure", "map_macro": "macro-mAP"}
COMPARED = ("f1_example", "map_macro")
NO_VALUE = "-"


def markdown(report: dict[str, Any]) -> str:
    """The table: mean and standard deviation over seeds, the difference to the reference, the paper's figures."""
    against = [f"{COLUMNS[metric]} against the reference" for metric in COMPARED]
    head = ["", *COLUMNS.values(), *against, "paper: accuracy", "paper: F-measure", "seeds"]
    lines = [f"## {report['title']}", "", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in report["rows"]:
        good = [run for run in row["runs"] if "failed" not in run]
        cells = [row["name"], *(_spread(row, metric) for metric in COLUMNS)]
        is_reference = row["name"] == report["reference"]
        cells += ["reference" if is_reference else _difference(row["difference"], metric) for metric in COMPARED]
        cells += [_figure((row["paper"] or {}).get(metric)) for metric in ("jaccard", "f1_example")]
        cells.append(f"{len(good)} of {len(row['runs'])}" if len(good) < len(row["runs"]) else str(len(good)))
        lines.append(f"| {' | '.join(cells)} |")
    if report["trivial"]:
        constant, prevalence = report["trivial"]["best_constant"], report["trivial"]["prevalence"]
        cells = [_figure(constant["jaccard"]), _figure(constant["f1_example"]), _figure(prevalence["map_macro"])]
        lines.append(f"| never looks (best constant, prevalence) | {' | '.join(cells)} |{' |' * (len(head) - 4)}")
    lines += [
        "",
        f"{report['num_tracks']} {report['split']} tracks of {report['data']} ({report['split_kind']} split). "
        "Accuracy is the example-based Jaccard index, F-measure the example-based F1, thresholds calibrated on validation; mean ± standard deviation over seeds; difference paired by seed, with "
        "Student's 95 % interval. The paper's figures are from single runs on Music4All: unless that is your data, "
        "they stand for another task.",
    ]
    lines += [
        f"- {row['name']}, seed {run['seed']} failed: {run['failed']}"
        for row in report["rows"]
        for run in row["runs"]
        if "failed" in run
    ]
    return "\n".join(lines) + "\n"


def _figure(value: float | None) -> str:
    return NO_VALUE if value is None else f"{value:.3f}".replace("0.", ".", 1)


def _spread(row: dict[str, Any], metric: str) -> str:
    if row["mean"] is None:
        return NO_VALUE
    spread = "" if row["std"] is None else f" ± {_figure(row['std'][metric])}"
    return _figure(row["mean"][metric]) + spread


def _difference(difference: dict[str, Any] | None, metric: str) -> str:
    if difference is None:
        return NO_VALUE
    value = difference[metric]
    interval = "" if value["low"] is None else f" ({value['low']:+.3f} to {value['high']:+.3f})"
    return f"{value['mean']:+.3f}{interval}"


def draw(report: dict[str, Any], file: Path) -> None:
    """The F-measure of every row with its spread, beside the paper's; a curve where the sweep has an axis."""
    from matplotlib.figure import Figure

    rows = [row for row in report["rows"] if row["mean"] is not None]
    figure = Figure(
        figsize=(7.5, 1.6 + 0.42 * len(rows)) if report["axis"] is None else (7.5, 4.5), layout="constrained"
    )
    axes = figure.subplots()
    ours = [row["mean"]["f1_example"] for row in rows]
    spread = [row["std"]["f1_example"] if row["std"] else float("nan") for row in rows]  # one seed: no bar
    paper = [row["paper"] and row["paper"]["f1_example"] for row in rows]
    known = [i for i, value in enumerate(paper) if value is not None]
    label = f"ours, on {Path(report['data']).name} ({report['split_kind']} split)"
    if report["axis"] is None:
        places = list(range(len(rows)))[::-1]
        axes.barh(places, ours, xerr=spread, height=0.62, color="#4c78a8", capsize=3, label=label)
        axes.plot(
            [paper[i] for i in known], [places[i] for i in known], "D", color="#e45756", label="paper, on Music4All"
        )
        axes.set_yticks(places, [row["name"] for row in rows])
        axes.set_xlabel("F-measure (example F1)")
        axes.set_xlim(left=0)
    else:
        at = [row["overrides"][report["axis"]] for row in rows]
        axes.errorbar(at, ours, yerr=spread, marker="o", capsize=3, color="#4c78a8", label=label)
        axes.plot(
            [at[i] for i in known], [paper[i] for i in known], "D--", color="#e45756", label="paper, on Music4All"
        )
        axes.set_xlabel(report["axis"])
        axes.set_ylabel("F-measure (example F1)")
    axes.set_title(report["title"])
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(file, dpi=150)
