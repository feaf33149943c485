"""The exported program needs nothing of ours, nor do the PyTorch twin and the ONNX file."""

import contextlib
import importlib.util
import json
from pathlib import Path

import jax
import jax.export
import numpy as np
import pytest

import mgc_jax
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax import api
from mgc_jax.benchmark import topology
from mgc_jax.export.folder import export
from mgc_jax.runs import weights_file
from tests.support import tiny_model
from tests.support.exported import python, sentence

ALONE = """
import sys
blocked = ("mgc_jax", "data_pipeline", "flax", "orbax", "optax", "safetensors", "transformers", "huggingface_hub")
sys.modules.update(dict.fromkeys(blocked))
from pathlib import Path
import numpy as np
from jax import export
program = export.deserialize(bytearray(Path(sys.argv[1]).read_bytes()))
assert program.platforms == ("cpu", "cuda", "tpu"), program.platforms
given = np.load(sys.argv[2])
for rows in (1, 3):
    scores, logits = program.call(*(given[name][:rows] for name in ("spectrogram", "tokens", "num_tokens")))
    np.savez(f"{rows}.npz", scores=np.asarray(scores), logits=np.asarray(logits))
assert not [name for name in sys.modules if name.split(".")[0] in blocked and sys.modules[name] is not None]
"""


def check_program(model: api.Model, folder: Path, tmp_path: Path) -> None:
    """The program, with nothing but jax, says what the live model says."""
    given = tiny_model.batch(model, rows=3)
    np.savez(tmp_path / "given.npz", **given)
    python(ALONE, str(folder / "model.stablehlo"), str(tmp_path / "given.npz"), folder=tmp_path)
    live = tiny_model.logits(model, given)
    for rows in (1, 3):
        out = np.load(tmp_path / f"{rows}.npz")
        assert (out["logits"].shape, out["logits"].dtype) == ((rows, model.vocabulary.size), np.float32)
        np.testing.assert_allclose(out["logits"], live[:rows], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(out["scores"], jax.nn.sigmoid(live[:rows]), atol=1e-6)
    assert np.ptp(live, axis=0).max() > 1e-3  # the inputs matter


@pytest.mark.slow
def test_the_program_needs_nothing_but_jax(workdir, exported, tmp_path):
    model = mgc_jax.load(workdir)
    assert model.config.lyrics.input == "features"  # what the run was trained on; the program takes tokens
    check_program(model, exported, tmp_path)


VARIANTS = {
    "default": "",
    "literal": "model.heads=1 model.residual_norm=False model.pooling=flatten model.genre_bias=False",
    "concat": "model.fusion=concat model.audio_preset=narrow_patches",
    "audio": "model.fusion=audio model.head=linear loss.contrastive_weight=0.0",
    "lyrics": "model.fusion=lyrics",
    "trained encoder": "train.encoder_rate=0.5",
    "bfloat16": "compute.dtype=bfloat16 compute.attention=xla",
    "santana": "model.architecture=santana loss.contrastive_weight=0.0 audio.n_mels=75 model.baseline_width=0.1",
    "pandeya": "model.architecture=pandeya loss.contrastive_weight=0.0 model.baseline_width=0.1",
}


@pytest.mark.usefixtures("one_block_of_each_kind")
@pytest.mark.slow
@pytest.mark.parametrize(
    "variant",
    [
        name if name in ("trained encoder", "santana") else pytest.param(name, marks=pytest.mark.rare)
        for name in VARIANTS
    ],
)
def test_every_kind_of_model(variant, tmp_path, capsys):
    model = tiny_model.model(tmp_path / "run", VARIANTS[variant])
    remarks = export(model, tmp_path / "model")
    assert len(remarks) == 3  # no thresholds, no figures, no licence
    again = mgc_jax.load(tmp_path / "model")
    given = tiny_model.batch(model, rows=3)
    np.testing.assert_array_equal(tiny_model.logits(model, given), tiny_model.logits(again, given))
    if variant == "bfloat16":  # the program computes in float32 with the same weights
        settings = json.loads((tmp_path / "model" / "config.json").read_text())
        settings["compute"]["dtype"] = "float32"
        (tmp_path / "model" / "config.json").write_text(json.dumps(settings))
        model = mgc_jax.load(tmp_path / "model")
    check_program(model, tmp_path / "model", tmp_path)
    assert any(name.startswith("bert.") for name in weights_file.leaves(again.state)) == (variant == "trained encoder")
    if variant in ("santana", "pandeya"):
        assert "torch" not in (tmp_path / "model" / "README.md").read_text()
        with contextlib.suppress(ImportError):
            import onnxscript  # noqa: F401
            import transformers  # noqa: F401

            arguments = ("export", "--onnx", "--workdir", str(tmp_path / "model"), "--out", str(tmp_path / "onnx"))
            assert "goes by way of the PyTorch twin" in sentence(capsys, *arguments)


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("libtpu"), reason="the TPU's compiler is not here")
def test_the_tpus_compiler_takes_the_program(small):
    program = jax.export.deserialize(bytearray((small / "model.stablehlo").read_bytes()))
    chip = jax.sharding.SingleDeviceSharding(topology.devices("v5e:2x2")[0])
    rows = [aval.update(shape=(4, *aval.shape[1:])) for aval in program.in_avals]
    shapes = [jax.ShapeDtypeStruct(aval.shape, aval.dtype, sharding=chip) for aval in rows]
    compiled = jax.jit(program.call).lower(*shapes).compile()
    assert compiled.cost_analysis()["flops"] > 1e6


@pytest.mark.slow
def test_the_twin_of_an_exported_folder(workdir, exported, data):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from mgc_jax.torch_reference import build as twins

    twin = twins.of_run(exported)
    given = next(PreparedData(data).evaluation_batches("test", batch_size=8))
    given = {name: given[name] for name in ("spectrogram", "tokens", "num_tokens")}
    with torch.no_grad():
        theirs = twin(*(torch.as_tensor(np.asarray(value)) for value in given.values())).logits.numpy()
    np.testing.assert_allclose(theirs, tiny_model.logits(mgc_jax.load(workdir), given), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "variant", ["trained encoder", *(pytest.param(name, marks=pytest.mark.rare) for name in ("literal", "concat"))]
)
def test_onnx(variant, tmp_path):
    """For any number of songs, lyrics of any length, and any number of windows; see also the tests of the runner."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    from mgc_jax.torch_reference import onnx_file

    model = tiny_model.model(tmp_path / "run", VARIANTS[variant])
    export(model, tmp_path / "model", write_onnx=onnx_file.writer(model))
    files = ("lyrics_encoder.onnx", "head.onnx")
    encoder, head = (onnxruntime.InferenceSession(tmp_path / "model" / file) for file in files)
    for rows, length in ((1, 13), (3, 7), (5, 2)):
        given = tiny_model.batch(model, rows)
        given["num_tokens"] = np.minimum(given["num_tokens"], length)
        short = {"tokens": given["tokens"][:, :length], "num_tokens": given["num_tokens"]}
        (words,) = encoder.run(["words"], short)
        words = np.pad(words, ((0, 0), (0, 13 - length), (0, 0)))
        scores, logits = head.run(
            ["scores", "logits"], {name: given[name] for name in ("spectrogram", "num_tokens")} | {"words": words}
        )
        live = tiny_model.logits(model, given)
        np.testing.assert_allclose(logits, live, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(scores, jax.nn.sigmoid(live), atol=1e-5)
    card = (tmp_path / "model" / "README.md").read_text()
    assert all(file in card for file in files)
