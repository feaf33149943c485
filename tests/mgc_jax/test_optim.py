"""The average of the weights: by its recurrence, and without a say in the training."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mgc_jax import optim


def test_the_average_follows_its_recurrence_and_leaves_training_alone():
    plain = optax.adam(0.1)
    averaged = optim.with_average(plain, 0.9)
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
    np.testing.assert_allclose(optim.average(state, params)["w"], want, rtol=1e-5)
    assert (np.abs(want - np.asarray(params["w"])) > 1e-3).all()


def test_without_an_average_the_parameters_stand_for_it():
    params = {"w": jnp.ones(2)}
    assert optim.average(optim.adamw(lambda step: 0.1, weight_decay=0.1, clip_norm=1.0).init(params), params) is params


@pytest.mark.parametrize("step", [0, 7, 40])
def test_warm_up_and_halving(step):
    schedule = optim.halving_schedule(0.5, warmup_steps=10, halve_every_steps=20)
    assert float(schedule(step)) == pytest.approx(0.5 * min(1, (step + 1) / 10) * 0.5 ** (step // 20))


def test_a_part_at_its_own_rate():
    params = {"bert": jnp.array([1.0, -2.0]), "other": jnp.array([1.0, -2.0])}
    gradients = {"bert": jnp.array([0.3, 0.1]), "other": jnp.array([0.3, 0.1])}
    plain = optim.adamw(lambda _: 0.1, weight_decay=0.0, clip_norm=1.0)
    slower = optim.at_rate(plain, "bert", 0.25)
    want, _ = plain.update(gradients, plain.init(params), params)
    got, _ = slower.update(gradients, slower.init(params), params)
    np.testing.assert_allclose(got["bert"], 0.25 * want["bert"], rtol=1e-6)
    np.testing.assert_array_equal(got["other"], want["other"])
