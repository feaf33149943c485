"""An explanation as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mgc_jax.explain.explanation import Explanation

TOP = 5
"""So many seconds, words and related genres are named for each side."""


def summary(explanation: Explanation) -> str:
    """For each genre the parts of its logit, and the seconds, words and related genres that do most."""
    prediction, scores = explanation.prediction, dict(explanation.prediction.ranked)
    number, total = len(explanation.windows), prediction.windows
    windows = f"{number} window{'s' * (number > 1)}" + (f" of {total}, evenly chosen" if number < total else "")
    lines = [f"{prediction.file}: {', '.join(prediction.predicted)}", f"explained from {windows}"]
    lines[-1] += "; an effect is what a genre's log-odds lose where something is taken away"
    words = len(explanation.words.spans)
    if explanation.words_not_read:
        lines.append(f"the model reads {words - explanation.words_not_read} of the {words} words")
    for index, genre in enumerate(explanation.genres):
        state = "predicted" if genre in prediction.predicted else "not predicted"
        lines += ["", f"{genre}: score {scores[genre]:.2f}, {state}"]
        parts = " ".join(f"{part[index]:+.2f} {name}" for name, part in explanation.parts.items())
        threshold = f"(threshold {explanation.thresholds[index]:+.2f})"
        lines.append(f"  log-odds {explanation.logits[index]:+.2f} {threshold} = {parts}")
        if explanation.graph is not None:
            others = [f"{name} {effect:+.2f}" for name, effect in explanation.neighbours(index)[:TOP]]
            line = f"  of which related genres {explanation.graph[index]:+.2f}"
            lines.append(line + (f" (one by one: {', '.join(others)})" if others else ""))
        if explanation.uses_audio:
            times = [f"{clock(start)}-{clock(end)}" for start, end in explanation.segments]
            lines += _for_and_against("seconds", times, explanation.segment_effect[:, index])
        if (explanation.groups >= 0).any():
            lines += _for_and_against("words", *_groups(explanation, index))
    return "\n".join(lines)


def clock(seconds: float) -> str:
    """1:05.2 for 65.2 s."""
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"


def _groups(explanation: Explanation, index: int) -> tuple[list[str], np.ndarray]:
    """What was masked together, in quotation marks, and its effect (Q,)."""
    groups, words = explanation.groups, explanation.words.words
    members = [np.flatnonzero(groups == group) for group in range(groups.max() + 1)]
    names = ['"' + " ".join(words[word] for word in group) + '"' for group in members]
    return names, np.array([explanation.word_effect[group[0], index] for group in members])


def _for_and_against(what: str, names: Sequence[str], effects: np.ndarray) -> list[str]:
    """Two lines; of what is there more than once, the largest effect."""
    order = np.argsort(-effects, kind="stable")
    sides: dict[str, dict[str, float]] = {"for": {}, "against": {}}
    for side, indices in (("for", order[effects[order] > 0]), ("against", order[::-1][effects[order[::-1]] < 0])):
        for i in indices:
            sides[side].setdefault(names[i], effects[i])
    return [
        f"  {what} {side:<8}{', '.join(f'{name} {effect:+.2f}' for name, effect in list(named.items())[:TOP])}"
        for side, named in sides.items()
        if named
    ]
