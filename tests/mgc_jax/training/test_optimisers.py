"""The average of the weights: by its recurrence, and without a say in the training."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mgc_jax.training import optimisers


def test_the_average_follows_its_recurrence_and_leaves_training_alone():
    plain = optax.adam(0.1)
    averaged = optimisers.with_average(plain, 0.9)
    params = {"w": jnp.array([1.0, -2.0])}
    alone, state, alone_state = params, averaged.init(params), plain.init(params)
    want = np.array([1.0, -2.0])
    for step in range(30):
        gradients = jax.tree.map(lambda p, k=step: 2 * p + 0.1 * k, params)
        updates, state = averaged.update(gradients, state, params)
        theirs, alone_state = plain.update(gradients, alone_state, alone)
        params, alone = optax.apply_updates(params, updates), optax.apply_updates(alone, theirs)
        decay = min(0.9, (1 + step) / (10 + step))
        want = decay * want + (1 - decay) * np.asarray(params["w"])
    np.testing.assert_array_equal(params["w"], alone["w"])
    np.testing.assert_allclose(optimisers.average(state, params)["w"], want, rtol=1e-5)
    assert (np.abs(want - np.asarray(params["w"])) > 1e-3).all()


def test_without_an_average_the_parameters_stand_for_it():
    params = {"w": jnp.ones(2)}
    assert (
        optimisers.average(optimisers.adamw(lambda step: 0.1, weight_decay=0.1, clip_norm=1.0).init(params), params)
        is params
    )


@pytest.mark.parametrize("step", [0, 7, 40])
def test_warm_up_and_halving(step):
    schedule = optimisers.halving_schedule(0.5, warmup_steps=10, halve_every_steps=20)
    assert float(schedule(step)) == pytest.approx(0.5 * min(1, (step + 1) / 10) * 0.5 ** (step // 20))


def test_a_part_at_its_own_rate():
    params = {"bert": jnp.array([1.0, -2.0]), "other": jnp.array([1.0, -2.0])}
    gradients = {"bert": jnp.array([0.3, 0.1]), "other": jnp.array([0.3, 0.1])}
    plain = optimisers.adamw(lambda _: 0.1, weight_decay=0.0, clip_norm=1.0)
    slower = optimisers.at_rate(plain, "bert", 0.25)
    want, _ = plain.update(gradients, plain.init(params), params)
    got, _ = slower.update(gradients, slower.init(params), params)
    np.testing.assert_allclose(got["bert"], 0.25 * want["bert"], rtol=1e-6)
    np.testing.assert_array_equal(got["other"], want["other"])


PARAMS = {"kernel": jnp.array([[3.0, -1.0], [0.5, 2.0]]), "bias": jnp.array([0.3, -0.4]), "new": jnp.zeros(2)}
GRADIENTS = [jax.tree.map(lambda p, k=k: jnp.cos(k + p) + 0.1, PARAMS) for k in range(3)]


def steps_of(optimiser: optax.GradientTransformation) -> dict[str, np.ndarray]:
    """The parameters after three steps."""
    params, state = PARAMS, optimiser.init(PARAMS)
    for gradients in GRADIENTS:
        updates, state = optimiser.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
    return jax.tree.map(np.asarray, params)


def by_formula(*, rate: float, decay: float, clip: float, trust: bool) -> dict[str, np.ndarray]:
    """Algorithm 2 of You et al. (2020), or AdamW without the trust ratio, in plain numpy."""
    params = {name: np.asarray(p, np.float64) for name, p in PARAMS.items()}
    first, second = ({name: np.zeros_like(p) for name, p in params.items()} for _ in range(2))
    for step, given in enumerate(GRADIENTS, 1):
        norm = np.sqrt(sum((np.asarray(g, np.float64) ** 2).sum() for g in given.values()))
        for name, gradient in given.items():
            g = np.asarray(gradient, np.float64) * min(1.0, clip / norm)
            first[name] = 0.9 * first[name] + 0.1 * g
            second[name] = 0.999 * second[name] + 0.001 * g**2
            root = np.sqrt(second[name] / (1 - 0.999**step))
            update = first[name] / (1 - 0.9**step) / (root + (1e-6 if trust else 1e-8))
            if params[name].ndim > 1:
                update = update + decay * params[name]
            length = np.linalg.norm(params[name])
            ratio = length / np.linalg.norm(update) if trust and length else 1.0
            params[name] = params[name] - rate * ratio * update
    return params


@pytest.mark.parametrize("name", ["adamw", "lamb"])
def test_three_steps_by_the_formula_with_clipping_and_decay_of_matrices_only(name):
    make = getattr(optimisers, name)
    got = steps_of(make(lambda step: 0.1, weight_decay=0.5, clip_norm=1.0))
    want = by_formula(rate=0.1, decay=0.5, clip=1.0, trust=name == "lamb")
    for key in PARAMS:
        np.testing.assert_allclose(got[key], want[key], rtol=2e-5)
    without = steps_of(make(lambda step: 0.1, weight_decay=0.0, clip_norm=1.0))
    np.testing.assert_array_equal(got["bias"], without["bias"])
    assert (np.abs(got["kernel"] - without["kernel"]) > 1e-3).any()


def test_a_step_of_lamb_is_as_long_as_the_parameter_and_one_without_length_takes_adams():
    lamb = optimisers.lamb(lambda step: 0.1, weight_decay=0.5, clip_norm=0.0)
    updates, _ = lamb.update(GRADIENTS[0], lamb.init(PARAMS), PARAMS)
    for key in ("kernel", "bias"):
        assert np.linalg.norm(updates[key]) == pytest.approx(0.1 * np.linalg.norm(PARAMS[key]), rel=1e-5)
    np.testing.assert_allclose(np.abs(updates["new"]), 0.1, rtol=1e-4)  # Adam's first step has length 1 everywhere
