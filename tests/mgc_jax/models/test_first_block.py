"""The block that never writes its convolution's output equals the one that does, in every form."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from mgc_jax.benchmark import topology
from mgc_jax.models import first_block_mosaic, first_block_triton
from mgc_jax.models.audio_cnn import PRESETS, AudioCNN
from mgc_jax.models.first_block import FORMS, first_block, first_block_by, written, written_by
from mgc_jax.runtime import sharding

pytestmark = pytest.mark.eight_devices
NEW = [form for form in FORMS if form != "convolution"]
EPSILON = 1e-5


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    for kernels in (first_block_triton, first_block_mosaic):
        monkeypatch.setattr(kernels, "INTERPRET", True)
    small = first_block_triton.Tiling(windows=16, warps=4, parts=3)  # several programs and tiles of small inputs
    for name in ("MOMENTS", "POOLED", "WINNERS"):
        monkeypatch.setattr(first_block_triton, name, small)
    monkeypatch.setattr(first_block_mosaic, "TILE", 16)
    monkeypatch.setattr(first_block_mosaic, "LANES", 2)


def arguments(shape, channels, seed=0, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(seed), 4)
    x = jax.random.uniform(keys[0], shape, minval=-1.0, maxval=0.6)  # continuous, so without ties; off centre
    kernel = 0.5 * jax.random.normal(keys[1], (3, 3, 1, channels))
    scale, bias = jax.random.normal(keys[2], (2, channels))  # scales of both signs
    return x.astype(dtype), kernel.astype(dtype).astype(jnp.float32), scale, bias


def results(block, given_, of=(1, 2, 3)):
    """Pooled values, mean and variance, and the gradients of the arguments ``of``: kernel, scale and bias."""

    def loss(*given):
        pooled, mean, variance = block(*given)
        weights = jnp.cos(jnp.arange(pooled.size)).reshape(pooled.shape).astype(jnp.bfloat16)
        return jnp.sum(pooled.astype(jnp.float32) * weights.astype(jnp.float32)), (pooled, mean, variance)

    (_, found), slopes = jax.jit(jax.value_and_grad(loss, of, has_aux=True))(*given_)
    return [*found, *slopes]


def close(ours, theirs):
    """To 1e-5, of small numbers to 1e-5 of the largest beside them."""
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * max(1.0, float(jnp.abs(theirs).max())))


def in_form(form, pool, mesh=None):
    return lambda *given: first_block(*given, pool, EPSILON, form, mesh)


def plain(pool):
    return lambda *given: written(*given, pool, EPSILON)


@pytest.mark.parametrize("form", NEW)
@settings(max_examples=4)
@given(
    pool=st.sampled_from([(2, 2), (4, 2), (1, 1), (3, 2), (2, 5)]),
    batch=st.integers(1, 3),
    frames=st.integers(4, 23),
    mels=st.integers(5, 17),
    channels=st.integers(1, 20),
    seed=st.integers(0, 1000),
)
def test_values_statistics_and_gradients_are_those_of_the_plain_block(form, pool, batch, frames, mels, channels, seed):
    given_ = arguments((batch, frames, mels), channels, seed)
    for ours, theirs in zip(results(in_form(form, pool), given_), results(plain(pool), given_), strict=True):
        close(ours, theirs)


@pytest.mark.parametrize("form", NEW)
def test_the_gradient_of_the_spectrogram_is_there_for_who_asks(form):
    pool, given_ = (2, 2), arguments((2, 9, 7), 3)
    close(results(in_form(form, pool), given_, of=0)[3], results(plain(pool), given_, of=0)[3])


@pytest.mark.parametrize("form", NEW)
def test_bfloat16_is_nearer_to_the_truth_than_the_plain_block(form):
    pool, given_ = (2, 2), arguments((4, 37, 26), 16, 1, jnp.bfloat16)
    exact = results(plain(pool), [x.astype(jnp.float32) for x in given_])

    def errors(block):
        found = results(block, given_)
        assert found[0].dtype == jnp.bfloat16
        return [
            float(np.linalg.norm(np.asarray(a, np.float32) - b) / np.linalg.norm(b))
            for a, b in zip(found, exact, strict=True)
        ]

    ours, theirs = errors(in_form(form, pool)), errors(plain(pool))
    assert ours[0] < 2**-8
    assert max(ours[1:3]) < 1e-5
    for name, mine, other in zip(("kernel", "scale", "bias"), ours[3:], theirs[3:], strict=True):
        assert mine < 0.02, name
        assert mine < other, name


@pytest.mark.parametrize("form", NEW)
def test_given_statistics_normalise_as_in_the_plain_block(form):
    pool = (2, 2)
    given_ = (*arguments((2, 13, 11), 5), jnp.linspace(-1.0, 1.0, 5), jnp.linspace(0.1, 2.0, 5))
    pull = jnp.cos(jnp.arange(2 * 6 * 5 * 5.0)).reshape(2, 6, 5, 5)

    @functools.partial(jax.jit, static_argnums=0)
    def both_ways(block, *given_):
        out, back = jax.vjp(block, *given_)
        return out, *back(pull)

    ours = both_ways(lambda *g: first_block_by(*g, pool, EPSILON, form), *given_)
    for a, b in zip(ours, both_ways(lambda *g: written_by(*g, pool, EPSILON), *given_), strict=True):
        close(a, b)


@pytest.mark.parametrize("form", NEW)
def test_of_equal_places_the_first_takes_the_gradient(form):
    x = jnp.zeros((1, 8, 8)).at[0, 3:6, 3:6].set(1.0)
    kernel = jnp.zeros((3, 3, 1, 1)).at[1, 1].set(1.0)  # y = x: the four values of a window are often equal
    given_ = (x, kernel, jnp.ones(1), jnp.ones(1))
    for ours, theirs in zip(results(in_form(form, (2, 2)), given_), results(plain((2, 2)), given_), strict=True):
        close(ours, theirs)


@pytest.mark.parametrize("form", NEW)
def test_what_is_not_a_number_is_not_hidden(form):
    x, kernel, scale, bias = arguments((1, 8, 8), 3)
    block = jax.jit(in_form(form, (2, 2)))
    assert jnp.isnan(block(x.at[0, 2, 2].set(jnp.nan), kernel, scale, bias)[0]).all()
    statistics = jnp.zeros(3).at[1].set(jnp.nan), jnp.ones(3)
    out = jax.jit(lambda *g: first_block_by(*g, (2, 2), EPSILON, form))(x, kernel, scale, bias, *statistics)
    assert jnp.isnan(out[..., 1]).all()
    assert not jnp.isnan(out[..., 0]).any()


@pytest.mark.parametrize("form", NEW)
def test_statistics_and_sums_are_over_all_devices_and_little_is_sent(form):
    pool, given_ = (2, 2), arguments((8, 13, 11), 5)
    alone = results(plain(pool), given_)
    mesh = sharding.make_mesh(model_parallel=2)
    rows, whole = sharding.batch_sharding(mesh), NamedSharding(mesh, P())

    places = rows, whole, whole, whole
    program = jax.jit(lambda *g: results(in_form(form, pool, mesh), g), in_shardings=places).lower(*given_).compile()
    found = program(*map(jax.device_put, given_, places))
    assert found[0].sharding.spec == P("data")
    for ours, theirs in zip(found, alone, strict=True):
        close(ours, theirs)
    text = program.as_text()
    exchanges = set(re.findall(r"(all-\w+|collective-\w+)\(", text))
    assert exchanges == {"all-reduce"}
    assert "convolution(" not in text  # the plain block's gradient of x, which nobody asked for, is gone


@pytest.mark.parametrize("form", NEW)
def test_an_encoder_trains_as_with_the_plain_block(form):
    x = jax.random.uniform(jax.random.key(1), (4, 37, 13), minval=-1.0)

    def training(**options):
        model = AudioCNN(num_mels=13, widths=(4, 3), pools=((2, 2), (2, 2)), tokens="time", rngs=nnx.Rngs(0), **options)
        graph, params, rest = nnx.split(model, nnx.Param, ...)

        def loss(params):
            model = nnx.merge(graph, params, rest, copy=True)
            out = model(x, train=True)
            return (out**2).sum(), (nnx.to_pure_dict(nnx.state(model, nnx.BatchStat)), model(x, train=False))

        return jax.jit(jax.value_and_grad(loss, has_aux=True))(params)

    ours, theirs = training(first_block=form, rematerialise=form == "triton"), training()
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        close(a, b)


def test_presets_whose_first_block_has_more_channels_compute_as_before():
    model = nnx.eval_shape(
        lambda: AudioCNN(
            num_mels=128, **PRESETS["paper_patches"], tokens="time", first_block="triton", rngs=nnx.Rngs(0)
        )
    )
    assert not hasattr(model.blocks[0], "form")


def test_a_pods_batch_is_not_too_large_to_count():
    x, kernel = jax.ShapeDtypeStruct((16_384, 1292, 128), jnp.bfloat16), jax.ShapeDtypeStruct((3, 3, 1, 1), jnp.float32)
    vector = jax.ShapeDtypeStruct((1,), jnp.float32)
    gradient = jax.grad(lambda *given: in_form("windows", (2, 2))(*given)[0].astype(jnp.float32).sum(), 1)
    assert jax.eval_shape(gradient, x, kernel, vector, vector).shape == kernel.shape


def test_kernels_become_programs_for_a_gpu(monkeypatch):
    """As far as that goes without one: into Triton's language, whose rules on shapes are checked on the way."""
    monkeypatch.setattr(first_block_triton, "INTERPRET", False)
    registration = pytest.importorskip("jax._src.pallas.triton.pallas_call_registration")
    if hasattr(registration, "gpu_info_lib"):
        chip = functools.partial(type, "H100", (), {"compute_capability": 90})
        monkeypatch.setattr(registration.gpu_info_lib, "get_gpu_info", chip)
    given_ = arguments((2, 21, 18), 24, dtype=jnp.bfloat16)
    block = in_form("triton", (4, 2))
    step = jax.jit(jax.value_and_grad(lambda *given: block(*given)[0].astype(jnp.float32).sum(), (1, 2, 3)))
    text = step.trace(*given_).lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("xla.gpu.triton") == 3


@pytest.mark.parametrize(
    ("shape", "channels", "pool", "dtype"),
    [
        ((512, 60, 32), 64, (2, 2), jnp.bfloat16),
        (
            (12, 21, 19),
            24,
            (4, 2),
            jnp.bfloat16,
        ),  # 3 tracks a chip; odd T and M
        ((4 * 130, 5, 9), 5, (1, 1), jnp.float32),  # two tracks more than a register holds
    ],
)
def test_kernels_become_a_program_for_tpus_and_move_less(monkeypatch, shape, channels, pool, dtype):
    """By the TPU's own compiler, on a slice of four chips."""
    pytest.importorskip("libtpu")
    for name, value in (("INTERPRET", False), ("TILE", 64), ("LANES", 128)):
        monkeypatch.setattr(first_block_mosaic, name, value)
    mesh = sharding.make_mesh(devices=topology.devices("v5e:2x2"))
    rows, whole = sharding.batch_sharding(mesh), NamedSharding(mesh, P())
    given_ = [
        jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=rows if x.ndim == 3 else whole)
        for x in jax.eval_shape(lambda: arguments(shape, channels, dtype=dtype))
    ]

    def compiled(block):
        gradients = jax.value_and_grad(lambda *g: block(*g)[0].astype(jnp.float32).sum(), (1, 2, 3))
        return jax.jit(gradients).lower(*given_).compile()

    program = compiled(in_form("mosaic", pool, mesh))
    assert program.as_text().count("tpu_custom_call") == 3
    if shape[0] == 512:  # registers are full
        moved = program.cost_analysis()["bytes accessed"]
        assert 0 < moved < 0.5 * compiled(plain(pool)).cost_analysis()["bytes accessed"]
