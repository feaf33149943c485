"""The parts of a model card that are a run's figures."""

from __future__ import annotations

from mgc_jax.evaluation.results import METRICS
from mgc_jax.evaluation.text import verdict
from mgc_jax.export.markdown import plain, show, table
from mgc_jax.export.subject import Subject


def overall(subject: Subject) -> str:
    """The metrics of each split beside the trivial baseline."""
    parts = []
    stale = [split for split in subject.evaluations if split not in subject.valid]
    if stale:
        parts.append(f"The evaluation on {' and '.join(stale)} is of another checkpoint and is left out.")
    shown = subject.shown
    if shown is None:
        parts.append("**These weights were never evaluated**: nothing is known of how well they do.")
        return "\n\n".join(parts)
    if "test" not in subject.valid:
        parts.append("**These weights were never evaluated on the test tracks.**")
    if others := [e for e in subject.valid.values() if e.other_data]:
        splits = " and ".join(f"{e.split} ({plain(e.source) or 'of unknown kind'})" for e in others)
        parts.append(
            f"**Evaluated on another data set than the one that it was trained on: {splits}.** Tracks that the model "
            "learned from may be among them."
        )
    if set(subject.valid) & {"train", "validation"}:
        parts.append(
            "The checkpoint and the thresholds were chosen on the validation tracks, and the weights on the training "
            "tracks: figures there flatter."
        )
    columns = [f"{e.split} ({e.tracks} tracks)" for e in subject.valid.values()]
    rows = []
    for name, key in METRICS.items():
        floor = show(shown.trivial[key]) if key in shown.trivial else ""
        rival = [show(shown.linear.metrics[key])] if shown.linear else []
        rows.append([name, *(show(e.metrics[key]) for e in subject.valid.values()), *rival, floor])
    rival = [f"linear ({shown.split})"] if shown.linear else []
    parts.append(table(["", *columns, *rival, f"trivial baseline ({shown.split})"], rows))
    parts.append(f"**{plain(verdict(shown))}**")
    parts.append(
        "Sets of genres (F1, Jaccard, exact match, Hamming loss) by thresholds calibrated for each genre on the "
        'validation tracks. "Trivial baseline" is what a predictor gets that never looks at the track: the genres\' '
        "frequencies for mAP, the best constant set for the others. "
        + (
            '"Linear" is a logistic regression for each genre on the same features, averaged over time, fitted on the '
            "training tracks. "
            if shown.linear
            else ""
        )
        + "One run, one seed."
    )
    return "\n\n".join(parts)


def by_genre(subject: Subject) -> str:
    """Each genre with its tracks, its threshold and how well it is found."""
    vocabulary, best = subject.model.vocabulary, subject.best
    columns = ["genre", "training tracks", "threshold"]
    if best:
        columns[2:2] = [f"{best.split} tracks", "average precision", "F1"]
        columns += ["linear: average precision"] if best.linear else []
    rows = []
    for index, name in enumerate(vocabulary.names):
        row = [plain(name), str(int(vocabulary.counts[index])), show(float(subject.model.thresholds[index]))]
        if best:
            own = best.genres[name]
            row[2:2] = [str(best.support[name]), show(own["average_precision"]), show(own["f1"])]
            row += [show(best.linear.average_precision[name])] if best.linear else []
        rows.append(row)
    note = "\n\nNo thresholds were calibrated: 0.5 decides." if subject.model.folder.thresholds() is None else ""
    return table(columns, rows) + note
