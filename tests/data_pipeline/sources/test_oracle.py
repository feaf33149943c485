"""The oracle's chances against the corpus itself."""

import numpy as np

from data_pipeline.sources import oracle, world

PLANS = [plan for seed in (11, 12) for plan in world.make_plans(1500, seed)]
LABELS = np.array([[name in plan.genres for name in world.ALL_GENRES] for plan in PLANS], float)


def chances(**senses) -> np.ndarray:
    return np.stack([oracle.chances(plan, **senses) for plan in PLANS])


def log_loss(p: np.ndarray) -> float:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return float(-np.mean(LABELS * np.log(p) + (1 - LABELS) * np.log(1 - p)))


def test_the_laws_are_laws():
    assert abs(sum(oracle.own_law().values()) - 1) < 1e-9
    for own in oracle.own_law():
        assert abs(sum(oracle.sound_law(own).values()) - 1) < 1e-9
        assert abs(sum(oracle.topic_law(own).values()) - 1) < 1e-9
        assert ((oracle.label_law(own) > 0) & (oracle.label_law(own) <= 1)).all()  # an only label is never lost
    assert {plan.own for plan in PLANS} <= oracle.own_law().keys()


def test_its_chances_are_as_often_true_as_they_say():
    both = chances()
    assert np.abs(both.mean(0) - LABELS.mean(0)).max() < 0.015
    edges = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9)
    for group in range(len(edges) + 1):
        inside = np.digitize(both, edges) == group
        said, happened = both[inside].mean(), LABELS[inside].mean()
        error = np.sqrt(said * (1 - said) / inside.sum())
        assert abs(said - happened) < 6 * error, (said, happened)  # genres of one track are not independent


def test_both_senses_know_more_than_one_and_one_more_than_none():
    both, heard, read, neither = (
        log_loss(chances(hears=h, reads=r)) for h, r in ((True, True), (True, False), (False, True), (False, False))
    )
    assert both < heard < neither
    assert both < read < neither
    assert abs(neither - log_loss(np.broadcast_to(LABELS.mean(0), LABELS.shape))) < 0.003
