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
    heard = f"{number} window{'s' * (number > 1)}" + (f" of {total}, evenly chosen" if number < total else "")
    lines = [f"{prediction.file}: {', '.join(prediction.predicted)}", f"explained from {heard}"]
    lines[-1] += "; an effect is what a genre's log-odds lose where something is taken away"
    words = len(explanation.words.spans)
    if not explanation.reads:
        lines.append("the model does not read lyrics")
    elif explanation.words_not_read:
        lines.append(f"the model reads {words - explanation.words_not_read} of the {words} words")
    if not explanation.hears:
        lines.append("the model does not listen to the sound")
    for place, genre in enumerate(explanation.genres):
        state = "predicted" if genre in prediction.predicted else "not predicted"
        lines += ["", f"{genre}: score {scores[genre]:.2f}, {state}"]
        lines.append(
            f"  log-odds {explanation.logits[place]:+.2f} (threshold {explanation.thresholds[place]:+.2f}) = "
            f"{explanation.base[place]:+.2f} silence without words {explanation.sound_part[place]:+.2f} sound "
            f"{explanation.words_part[place]:+.2f} words"
        )
        if explanation.graph is not None:
            others = [f"{name} {effect:+.2f}" for name, effect in explanation.neighbours(place)[:TOP]]
            line = f"  of which related genres {explanation.graph[place]:+.2f}"
            lines.append(line + (f" (one by one: {', '.join(others)})" if others else ""))
        if explanation.hears:
            times = [f"{clock(start)}-{clock(end)}" for start, end in explanation.spans]
            lines += _for_and_against("seconds", times, explanation.span_effect[:, place])
        if (explanation.groups >= 0).any():
            lines += _for_and_against("words", *_groups(explanation, place))
    return "\n".join(lines)


def clock(seconds: float) -> str:
    """1:05.2 for 65.2 s."""
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"


def _groups(explanation: Explanation, place: int) -> tuple[list[str], np.ndarray]:
    """What was masked together, in quotation marks, and its effect (Q,)."""
    groups, words = explanation.groups, explanation.words.words
    members = [np.flatnonzero(groups == group) for group in range(groups.max() + 1)]
    names = ['"' + " ".join(words[word] for word in group) + '"' for group in members]
    return names, np.array([explanation.word_effect[group[0], place] for group in members])


def _for_and_against(what: str, names: Sequence[str], effects: np.ndarray) -> list[str]:
    """Two lines; of what is there more than once, the largest effect."""
    order = np.argsort(-effects, kind="stable")
    sides: dict[str, dict[str, float]] = {"for": {}, "against": {}}
    for side, places in (("for", order[effects[order] > 0]), ("against", order[::-1][effects[order[::-1]] < 0])):
        for i in places:
            sides[side].setdefault(names[i], effects[i])
    return [
        f"  {what} {side:<8}{', '.join(f'{name} {effect:+.2f}' for name, effect in list(found.items())[:TOP])}"
        for side, found in sides.items()
        if found
    ]
