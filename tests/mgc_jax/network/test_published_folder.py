"""Encoders in Hugging Face's layout are found, read and copied; whatever is wrong with a folder is one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import export
from safetensors.numpy import load_file, save_file

from data_pipeline.audio import AudioSpec
from data_pipeline.errors import InputError
from mgc_jax.network.audio_encoders import ENCODERS, audio_encoder, copy_audio_encoder
from mgc_jax.network.audio_features import audio_features
from mgc_jax.network.published_folder import WEIGHTS
from tests.support import tiny_ast


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny AST of random weights."""
    return tiny_ast.save(tmp_path / "tiny_ast")


def write(file: Path, value: object) -> None:
    file.write_text(json.dumps(value), "utf-8")


def change(file: Path, **fields: object) -> None:
    write(file, json.loads(file.read_text("utf-8")) | fields)


def refused(folder: Path | str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as error:
        audio_encoder(str(folder))
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)


def test_a_folder_is_an_encoder(folder: Path):
    encoder = audio_encoder(str(folder))
    assert (encoder.name, encoder.source, encoder.licence) == (str(folder), "tiny_ast", "BSD-3-Clause")
    assert (encoder.rate, encoder.tokens, encoder.width, len(encoder.digest)) == (16_000, 1, 28, 64)
    tokens = jax.jit(encoder.apply)(encoder.weights, np.zeros((2, encoder.window), np.float32))
    assert tokens.shape == (2, 1, 28)
    assert np.isfinite(tokens).all()


def test_clips_are_heard_on_all_devices_and_by_a_program_for_any_number_of_them(folder: Path):
    spec = AudioSpec(sample_rate=16_000, seconds=3.1, input="features", encoder=str(folder))
    features = audio_features(spec)
    assert features.shape == (3, 28)
    clips = np.random.default_rng(0).normal(size=(5, spec.num_samples)).astype(np.float32) / 9
    encoder = features.encoder
    (number,) = export.symbolic_shape("n")
    shape = jax.ShapeDtypeStruct((number, spec.num_samples), np.float32)
    program = export.export(jax.jit(lambda clips: encoder.hear(encoder.weights, clips)))(shape)
    np.testing.assert_allclose(features(clips), program.call(clips), atol=1e-4)


def test_a_copy_is_the_same_encoder(folder: Path, tmp_path: Path):
    (folder / "modeling.py").write_text("raise SystemExit")
    copy_audio_encoder(str(folder), tmp_path / "copy")
    assert {file.name for file in (tmp_path / "copy").iterdir()} == {"config.json", "preprocessor_config.json", WEIGHTS}
    first, second = audio_encoder(str(folder)), audio_encoder(str(tmp_path / "copy"))
    assert first.digest == second.digest
    jax.tree.map(np.testing.assert_array_equal, first.weights, second.weights)


def test_what_a_program_added_has_no_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(ENCODERS, "loudness", lambda: None)
    with pytest.raises(InputError, match=r"^The audio encoder loudness was added by a program and has no files to be"):
        copy_audio_encoder("loudness", tmp_path / "copy")


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: cc-by-nc-sa-4.0\ntags:\n- music\n---\n# A card", "CC-BY-NC-SA-4.0"),
        ("---\r\nlibrary_name: transformers\r\nlicense: 'apache-2.0'\r\n---\r\n", "Apache-2.0"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\ntags: []\n---\nlicense: mit\n", "BSD-3-Clause"),
        ("# No front matter\nlicense: mit\n", "BSD-3-Clause"),
        ("", "BSD-3-Clause"),
    ],
)
def test_the_licence_is_what_the_card_names(folder: Path, card: str, licence: str):
    (folder / "README.md").write_bytes(card.encode())
    encoder = audio_encoder(str(folder))
    assert encoder.licence == licence
    assert encoder.licence_warning.endswith("not for commercial use, nor is what they taught.") == ("-NC" in licence)


def test_weights_in_half_precision_are_read(folder: Path):
    half = {name: value.astype(np.float16) for name, value in load_file(folder / WEIGHTS).items()}
    save_file(half, folder / WEIGHTS)
    assert {leaf.dtype for leaf in jax.tree.leaves(audio_encoder(str(folder)).weights)} == {np.dtype(np.float32)}


def test_weights_that_are_a_pickle_are_refused(folder: Path):
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    refused(folder, r"tiny_ast has its weights as a pickle, which is never read; docs/audio-encoders\.md says how they")


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", WEIGHTS])
def test_a_file_that_is_missing(folder: Path, name: str):
    (folder / name).unlink()
    refused(folder, rf"^The audio encoder in .*tiny_ast lacks {name}[.;]")


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 10**5, "\xff"])
def test_files_that_are_no_json_object(folder: Path, name: str, text: str):
    (folder / name).write_bytes(text.encode("latin-1"))
    refused(folder, rf"{name} (cannot be read: |holds no JSON object\.)")


@pytest.mark.parametrize("size", [0, 7, 500, -1])
def test_weights_that_end_early(folder: Path, size: int):
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:size])
    refused(folder, r"model\.safetensors cannot be read as safetensors: ")


def test_a_network_that_nobody_knows(folder: Path):
    for kind in ("whisper", None, ["clap"]):
        change(folder / "config.json", model_type=kind)
        refused(
            folder, r"config\.json has model_type .* no audio encoder here; there are: audio-spec.*, clap, mert_model"
        )


def test_weights_of_another_shape_or_missing(folder: Path):
    tensors = load_file(folder / WEIGHTS)
    tensors["layernorm.weight"] = np.ones(5, np.float32)
    del tensors["layernorm.bias"]
    save_file(tensors, folder / WEIGHTS)
    refused(
        folder,
        r"tiny_ast cannot be used: layernorm\.weight gives \(5,\), not \(28,\); layernorm\.bias is missing\.$",
    )


def test_a_front_end_of_another_rate(folder: Path):
    change(folder / "preprocessor_config.json", sampling_rate=44_100)
    refused(folder, "cannot be used: preprocessor_config.json has sampling_rate 44100; only 16000 is supported")


def test_the_broken_clap(folder: Path):
    change(folder / "config.json", model_type="clap")
    shutil.copytree(folder, folder.with_name("larger_clap_music"))
    refused(
        folder.with_name("larger_clap_music"), "weights of larger_clap_music are broken; take laion/larger_clap_gen"
    )


def test_a_hub_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    import huggingface_hub

    def offline(name: str, allow_patterns: list[str]) -> str:
        assert not any(pattern.endswith((".py", ".bin")) or "*" in pattern for pattern in allow_patterns)
        raise ConnectionError("no route to the hub.\nA second line")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    refused(
        "laion/larger_clap_general", r"\(ConnectionError: no route to the hub\); go online, or give the folder of a"
    )


def test_a_name_that_is_neither(tmp_path: Path):
    for name in ("vggish", "../nowhere", "a/b/c"):
        refused(
            name, r"^There is no audio encoder '.*'; there are: musicnn, folders and names on the hub \(organisation"
        )
