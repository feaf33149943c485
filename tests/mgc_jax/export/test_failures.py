"""What cannot be exported, and exported models that are broken."""

import contextlib
import resource
import shutil
from pathlib import Path

import fsspec
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import mgc_jax
from data_pipeline.errors import InputError
from mgc_jax.cli import main
from mgc_jax.export.folder import export
from tests.support import tiny_model
from tests.support.exported import metadata_of, sentence
from tests.support.xla import compiled_anew


@contextlib.contextmanager
def changed(file: Path, content: bytes):
    whole = file.read_bytes()
    file.write_bytes(content)
    try:
        yield
    finally:
        file.write_bytes(whole)


def test_a_taken_folder_is_refused_before_the_work(workdir, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    for name, fragment in (("full", "is not empty"), ("file", "is a file"), ("file/below/it", "file is a file")):
        arguments = ("export", "--workdir", str(workdir), "--out", str(tmp_path / name))
        assert fragment in sentence(capsys, *arguments)
    assert (tmp_path / "full" / "mine.txt").read_text() == "x"


def test_what_is_no_run_is_refused(workdir, tmp_path, capsys):
    out = ("--out", str(tmp_path / "model"))
    (tmp_path / "empty").mkdir()
    assert "holds no run" in sentence(capsys, "export", "--workdir", str(tmp_path / "empty"), *out)
    assert "There is no folder" in sentence(capsys, "export", "--workdir", str(tmp_path / "lost"), *out)
    unfinished = shutil.copytree(workdir, tmp_path / "unfinished", ignore=shutil.ignore_patterns("checkpoints"))
    assert "no evaluated checkpoint yet" in sentence(capsys, "export", "--workdir", str(unfinished), *out)
    assert "none that the hub spells so" in sentence(capsys, "export", "--workdir", "w", *out, "--license", "my own!")
    assert not list(tmp_path.glob("model*"))


def test_a_broken_evaluation_is_named_and_leaves_nothing(workdir, tmp_path, capsys):
    folder = shutil.copytree(workdir, tmp_path / "run")
    (folder / "evaluation_test.json").write_text('{"split": "test"}')
    message = sentence(capsys, "export", "--workdir", str(folder), "--out", str(tmp_path / "model"))
    assert "evaluation_test.json cannot be used" in message
    assert not list(tmp_path.glob("model*"))


@contextlib.contextmanager
def no_file_over(size: int):
    """The nearest to a full disk that needs no disk of its own."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [1 << 10, 1 << 15, 1 << 17])
def test_no_room_leaves_nothing(size, tmp_path):
    """The encoder, the weights and the program are too large, one after the other."""
    model = tiny_model.model(tmp_path / "run")
    with compiled_anew(), no_file_over(size), pytest.raises((InputError, OSError)) as error:
        export(model, tmp_path / "model")
    assert "too large" in str(error.value)
    assert not list(tmp_path.glob("model*"))


def test_the_place_may_be_empty_or_half_written(workdir, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model.partial").mkdir()
    (tmp_path / "model.partial" / "rest").write_text("of a run that was killed")
    assert main(["export", "--workdir", str(workdir), "--out", str(tmp_path / "model")]) == 0
    assert not (tmp_path / "model" / "rest").exists()
    assert not (tmp_path / "model.partial").exists()


SPOILT = {
    "another version": (lambda a, m: m.update(format_version="2", mgc_jax_version="9.0"), "written by mgc-jax 9.0"),
    "another program": (lambda a, m: m.update(format="pt"), "holds no model of mgc-jax"),
    "another vocabulary": (lambda a, m: m.update(genres='["polka"]'), "another genre vocabulary"),
    "another encoder": (lambda a, m: m.update(encoder_sha256="0" * 64), "another encoder"),
    "a missing name": (lambda a, m: a.pop("null_token"), "null_token is missing"),
    "a foreign name": (lambda a, m: a.update(more=a["log_scale"]), "more is not known"),
    "another shape": (lambda a, m: a.update(null_token=a["null_token"][:3]), r"null_token is float32\[3\], not"),
    "another type": (lambda a, m: a.update(null_token=a["null_token"].astype(np.float16)), "null_token is float16"),
    "another value": (lambda a, m: a.update(log_scale=np.array(a["log_scale"] + 1)), "changed or damaged"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_weights_that_do_not_belong_here(kind, small, tmp_path):
    spoil, fragment = SPOILT[kind]
    file = small / "model.safetensors"
    arrays, metadata = load_file(file), metadata_of(file)
    spoil(arrays, metadata)
    save_file(arrays, tmp_path / "spoilt", metadata=metadata)
    with changed(file, (tmp_path / "spoilt").read_bytes()), pytest.raises(InputError, match=fragment) as error:
        mgc_jax.load(small)
    assert "\n" not in str(error.value)


def test_it_is_read_from_a_bucket(small, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    files = fsspec.filesystem("memory")
    files.put(str(small), "/bucket/model", recursive=True)
    try:
        there = mgc_jax.load("memory://bucket/model")
    finally:
        files.rm("/bucket", recursive=True)
    assert there.folder.path.is_relative_to(tmp_path)
    assert there.encoder == there.folder.path / "encoder"
    assert not (there.folder.path / "model.stablehlo").exists()  # for those who go without this program
    given = tiny_model.batch(there, rows=2)
    np.testing.assert_array_equal(tiny_model.logits(there, given), tiny_model.logits(mgc_jax.load(small), given))


def test_weights_that_are_cut(small):
    file = small / "model.safetensors"
    content = file.read_bytes()
    for size in (0, 5, 100, len(content) // 2, len(content) - 1):
        with changed(file, content[:size]), pytest.raises(InputError, match="cannot be read"):
            mgc_jax.load(small)


def test_another_encoder_beside_the_weights(small, tmp_path):
    folder = Path(shutil.copytree(small, tmp_path / "model"))
    weights = load_file(folder / "encoder" / "model.safetensors")
    weights["embeddings.LayerNorm.bias"] = weights["embeddings.LayerNorm.bias"] + 1
    save_file(weights, folder / "encoder" / "model.safetensors")
    with pytest.raises(InputError, match="another encoder"):
        mgc_jax.load(folder)
    (folder / "encoder" / "tokenizer.json").unlink()
    (folder / "encoder" / "vocab.txt").unlink()
    with pytest.raises(InputError, match=r"lacks tokenizer\.json"):
        mgc_jax.load(folder)
