"""What is the most that can be known of a generated track: the exact chances of its genres, given sound and words.

The oracle knows the rules of :mod:`data_pipeline.sources.world` and hears and reads without error, which sounds were
mixed and which topics were sung. It does not know the artist. What it scores is the Bayes ceiling of the generated
corpus for tracks of unknown artists: no model that hears and reads only can expect to do better.
"""

from __future__ import annotations

import functools
import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np

from data_pipeline.sources import world
from data_pipeline.sources.world import ALL_GENRES, GENRES, Plan

Own = tuple[str, ...]
"""The one or two genres that a track was made as."""


def chances(plan: Plan, *, hears: bool = True, reads: bool = True) -> np.ndarray:
    """P(genre is a label | what is heard and read) for ``world.ALL_GENRES`` (G,), in that order."""
    kinds = own_law()
    weight = np.fromiter(kinds.values(), np.float64)
    evidence: list[Callable[[Own], float]] = []
    if hears:
        evidence.append(lambda own: sound_law(own).get(plan.sounds, 0.0))
    if reads and not (plan.dirt is not None and "lyrics" in plan.dirt):
        sung = plan.language != "INTRUMENTAL"
        evidence.append(lambda own: instrumental(own) if not sung else 1.0 - instrumental(own))
        if plan.language == "en":  # in other languages the words are the same whatever the topic
            evidence.append(lambda own: topic_law(own).get(frozenset(plan.topics), 0.0))
    for likelihood in evidence:
        weight = weight * [likelihood(own) for own in kinds]
    return weight @ np.stack([label_law(own) for own in kinds]) / weight.sum()


@functools.cache
def own_law() -> Mapping[Own, float]:
    """P(own genres) of a track by an artist of whom nothing is known."""
    law: dict[Own, float] = defaultdict(float)
    total = sum(genre.rate for genre in GENRES.values())
    for home, genre in GENRES.items():
        also_sets = list(itertools.combinations(genre.mixes, min(2, len(genre.mixes))))
        for also in also_sets:
            here = genre.rate / total / len(also_sets)
            firsts = {name: (1 - world.AT_HOME) / len(also or GENRES) for name in also or GENRES}
            firsts[home] = firsts.get(home, 0.0) + world.AT_HOME
            for first, chance in firsts.items():
                seconds = [name for name in (*also, home) if name != first] if also else []
                law[first,] += here * chance * (1 - world.MIXED if seconds else 1.0)
                for second in seconds:
                    law[first, second] += here * chance * world.MIXED / len(seconds)
    return law


@functools.cache
def sound_law(own: Own) -> Mapping[tuple[str, ...], float]:
    """P(sounds | own genres), the stronger sound first."""
    law: dict[tuple[str, ...], float] = defaultdict(float)
    mixes = list(itertools.product(*(GENRES[name].sounds or (name,) for name in own)))
    for mix in mixes:
        law[tuple(dict.fromkeys(mix))] += (1 - world.ATYPICAL_SOUND) / len(mixes)
    for sound in world.SOUNDING:
        law[sound,] += world.ATYPICAL_SOUND / len(world.SOUNDING)
    return law


@functools.cache
def topic_law(own: Own) -> Mapping[frozenset[str], float]:
    """P(topics | own genres)."""
    law: dict[frozenset[str], float] = defaultdict(float)
    pairs = [itertools.combinations(GENRES[name].topics, min(2, len(GENRES[name].topics))) for name in own]
    mixes = list(itertools.product(*pairs))
    for mix in mixes:
        law[frozenset(itertools.chain(*mix))] += (1 - world.OFF_TOPIC) / len(mixes)
    for genre in GENRES.values():
        law[frozenset(genre.topics[:2])] += world.OFF_TOPIC / len(GENRES)
    return law


def instrumental(own: Own) -> float:
    """P(no lyrics | own genres)."""
    return max(GENRES[name].instrumental for name in own)


@functools.cache
def label_law(own: Own) -> np.ndarray:
    """P(genre is a label | own genres) (G,), after parents, rules, dropped and spurious labels."""
    parents: dict[str, float] = {}
    for name in own:
        for parent, chance in GENRES[name].parents.items():
            parents[parent] = 1 - (1 - parents.get(parent, 0.0)) * (1 - chance)
    free = {parent: chance for parent, chance in parents.items() if parent not in own}
    law = np.zeros(len(ALL_GENRES))
    for present in itertools.product((False, True), repeat=len(free)):
        true, chance = list(own), 1.0
        for (parent, p), here in zip(free.items(), present, strict=True):
            chance *= p if here else 1 - p
            true += [parent] * here
        rules = {rule: max((by.get(name, 0.0) for name in true), default=0.0) for rule, by in world.RULES.items()}
        for follows in itertools.product((False, True), repeat=len(rules)):
            whole, q = list(true), chance
            for (rule, p), here in zip(rules.items(), follows, strict=True):
                q *= p if here else 1 - p
                whole += [rule] * here
            for name in whole:
                law[ALL_GENRES.index(name)] += q * (1 - world.DROPPED_LABEL)
            # A track that would lose every label keeps its first genre.
            law[ALL_GENRES.index(own[0])] += q * world.DROPPED_LABEL ** len(whole)
    return law + (1 - law) * world.SPURIOUS_LABEL / len(ALL_GENRES)
