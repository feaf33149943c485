"""A sweep's comparison as Markdown and as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mgc_jax.plots.picture_file import save_picture

COLUMNS = {"jaccard": "accuracy", "f1_example": "F-measure", "map_macro": "macro-mAP"}
COMPARED = ("f1_example", "map_macro")
DECIDED = {"jaccard": "accuracy", "f1_example": "F-measure", "f1_macro": "macro-F1"}
DECISIONS = {"at_half": "threshold 0.5", "argmax_fallback": "calibrated thresholds, and at least one genre"}
NO_VALUE = "-"


def markdown(comparison: dict[str, Any]) -> str:
    """The table: mean and standard deviation over seeds, the difference to the reference, the paper's figures."""
    against = [f"{COLUMNS[metric]}, difference" for metric in COMPARED]
    printed = ("jaccard", "f1_example") if any(row["paper"] for row in comparison["rows"]) else ()
    head = ["", *COLUMNS.values(), *against, *(f"paper: {COLUMNS[metric]}" for metric in printed), "seeds"]
    lines = [f"## {comparison['title']}", "", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in comparison["rows"]:
        good = [run for run in row["runs"] if "failed" not in run]
        cells = [row["name"], *(_spread(row, metric) for metric in COLUMNS)]
        is_reference = row["name"] == comparison["reference"]
        cells += ["reference" if is_reference else _difference(row["difference"], metric) for metric in COMPARED]
        cells += [_figure((row["paper"] or {}).get(metric)) for metric in printed]
        cells.append(f"{len(good)} of {len(row['runs'])}" if len(good) < len(row["runs"]) else str(len(good)))
        lines.append(f"| {' | '.join(cells)} |")
    if linear := comparison.get("linear"):
        cells = [_figure(linear[metric]) for metric in COLUMNS]
        lines.append(f"| logistic regression on the same features | {' | '.join(cells)} |{' |' * (len(head) - 4)}")
    if comparison["trivial"]:
        constant, prevalence = comparison["trivial"]["best_constant"], comparison["trivial"]["prevalence"]
        cells = [_figure(constant["jaccard"]), _figure(constant["f1_example"]), _figure(prevalence["map_macro"])]
        lines.append(f"| trivial baseline (best constant, prevalence) | {' | '.join(cells)} |{' |' * (len(head) - 4)}")
    if comparison["effects"]:
        lines += _differences("what a part changes", COLUMNS, comparison["effects"])
    if comparison["decisions"]:
        ways = {DECISIONS[way]: change for way, change in comparison["decisions"].items()}
        lines += _differences(f"{comparison['reference']} decided otherwise", DECIDED, ways)
    lines += [
        "",
        f"{comparison['num_tracks']} {comparison['split']} tracks of {comparison['data']} "
        f"({comparison['split_kind']} split). "
        "Accuracy is the example-based Jaccard index, F-measure the example-based F1, with thresholds calibrated on "
        + ("these very tracks, which flatters both. " if comparison["split"] == "validation" else "validation. ")
        + "Mean ± standard deviation over seeds; difference to the reference paired by seed, with Student's 95 % "
        "interval.",
    ]
    if printed:
        lines[-1] += (
            " The paper's figures are from single runs on Music4All: unless that is your data, they stand for another "
            "task."
        )
    lines += [
        f"- {row['name']}, seed {run['seed']} failed: {run['failed']}"
        for row in comparison["rows"]
        for run in row["runs"]
        if "failed" in run
    ]
    return "\n".join(lines) + "\n"


def _differences(title: str, columns: Mapping[str, str], rows: Mapping[str, Any]) -> list[str]:
    """A table of differences with their intervals."""
    head = ["", f"| {title} | {' | '.join(columns.values())} |", "|" + "---|" * (1 + len(columns))]
    cells = {name: " | ".join(_difference(change, metric) for metric in columns) for name, change in rows.items()}
    return head + [f"| {name} | {text} |" for name, text in cells.items()]


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


def draw(comparison: dict[str, Any], file: Path) -> None:
    """The F-measure of every row: each seed a dot, their mean and standard deviation; a curve for a sweep with an axis.

    The paper's figures get a panel and a scale of their own. Raises InputError where the file cannot be written.
    """
    from matplotlib.figure import Figure

    rows = [row for row in comparison["rows"] if row["mean"] is not None]
    curve = comparison["axis"] is not None
    with_paper = any(row["paper"] for row in rows)
    figure = Figure(figsize=(8.5, 4.2 if curve else 1.6 + 0.38 * len(rows)), layout="constrained")
    axes = figure.subplots(1, 1 + with_paper, sharey=not curve, squeeze=False)[0]
    positions = [row["overrides"][comparison["axis"]] for row in rows] if curve else list(range(len(rows)))[::-1]

    def plot(panel: Any, at: list[float], values: list[float], **style: Any) -> None:
        first, second = (at, values) if curve else (values, at)
        panel.plot(first, second, **style)

    for position, row in zip(positions, rows, strict=True):
        seeds = [run["f1_example"] for run in row["runs"] if "failed" not in run]
        plot(
            axes[0], [position] * len(seeds), seeds, marker="o", linestyle="", color="#4c78a8", alpha=0.35, markersize=5
        )
    ours = [row["mean"]["f1_example"] for row in rows]
    spread = [row["std"]["f1_example"] if row["std"] else float("nan") for row in rows]  # one seed: no bar
    bars: dict[str, Any] = {"yerr": spread} if curve else {"xerr": spread}
    points = (positions, ours) if curve else (ours, positions)
    axes[0].errorbar(*points, **bars, fmt="D-" if curve else "D", capsize=3, color="#4c78a8")
    axes[0].set_title(f"ours: {Path(comparison['data']).name}, {comparison['split_kind']} split", fontsize=10)
    if with_paper:
        known = [
            (position, row["paper"]["f1_example"])
            for position, row in zip(positions, rows, strict=True)
            if row["paper"]
        ]
        style = {"marker": "D", "linestyle": "-" if curve else "", "color": "#e45756"}
        plot(axes[1], [position for position, _ in known], [value for _, value in known], **style)
        axes[1].set_title("the paper: Music4All, single runs", fontsize=10)
    for panel in axes:
        panel.grid(axis="both" if curve else "x", alpha=0.3)
        if curve:
            panel.set_xlabel(comparison["axis"])
        else:
            panel.set_xlabel("F-measure (example F1)")
            panel.locator_params(axis="x", nbins=6)
    if curve:
        axes[0].set_ylabel("F-measure (example F1)")
    else:
        axes[0].set_yticks(positions, [row["name"] for row in rows])
    figure.suptitle(comparison["title"])
    save_picture(figure, file, dpi=150)
