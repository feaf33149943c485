import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.errors import InputError
from mgc_jax.evaluation.scored import Scored, StoredScores


def kept(**changes) -> StoredScores:
    random = np.random.default_rng(0)
    scores = random.random((6, 3)).astype(np.float32)
    labels = (scores > 0.5).astype(np.uint8)
    words = np.array([1, 1, -1, 4, 5, 2**32 - 1])
    parts = (random.normal(size=(6, width)).astype(np.float32) for width in (2, 2, 4))
    scored = Scored(scores, labels, random.random(6), words, *parts)
    names = ("rock", "r&b", "歌謡曲")
    return StoredScores(scored, np.full(3, 0.5), names, 7, random.normal(size=(3, 4)), np.eye(3), **changes)


def test_what_is_kept_comes_back(tmp_path: Path):
    written = kept()
    written.save(tmp_path / "evaluation_test.npz")
    assert [file.name for file in tmp_path.iterdir()] == ["evaluation_test.npz"]
    read = StoredScores.load(tmp_path / "evaluation_test.npz")
    assert (read.genres, read.step) == (written.genres, 7)
    for name, value in written.scored._asdict().items():
        np.testing.assert_array_equal(getattr(read.scored, name), value)
    np.testing.assert_array_equal(read.genre_vectors, written.genre_vectors)
    np.testing.assert_array_equal(read.adjacency, written.adjacency)


def test_a_model_without_graph_and_embeddings_keeps_none(tmp_path: Path):
    whole = kept()
    StoredScores(Scored(*whole.scored[:4]), whole.thresholds, whole.genres, 7).save(tmp_path / "x.npz")
    read = StoredScores.load(tmp_path / "x.npz")
    assert read.scored.audio is read.scored.lyrics is read.scored.fused is None
    assert read.genre_vectors is read.adjacency is None


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path):
    with pytest.raises(InputError, match="cannot be written"):
        kept().save(tmp_path / "missing" / "x.npz")


def rewritten(path: Path, **changes) -> None:
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{name: x for name, x in (arrays | changes).items() if x is not None})


DAMAGE = {
    "scores": [np.zeros((6, 2), np.float32), np.full((6, 3), 2.0), np.full((6, 3), np.nan), None],
    "labels": [np.zeros((0, 3), np.uint8), np.zeros((6, 3)), np.zeros(6, np.uint8)],
    "words": [np.zeros(5, np.int64), np.zeros(6)],
    "bce": [np.full(6, np.inf), np.zeros((6, 1))],
    "audio": [np.zeros((5, 2), np.float32), np.zeros((6, 3), np.float32), None],
    "fused": [np.zeros((5, 4), np.float32), np.zeros(6, np.float32), np.full((6, 4), np.nan)],
    "genres": [np.array(["a", "b"]), np.array([b"a", b"b", b"c"]), np.array(["a", "b", None], object)],
    "thresholds": [np.zeros(2), np.full(3, np.nan)],
    "step": [np.zeros(2, np.int64), np.float64(1.0)],
    "genre_vectors": [np.zeros((2, 4))],
    "adjacency": [np.zeros((3, 2))],
}


@pytest.mark.parametrize(("name", "value"), [(name, x) for name, values in DAMAGE.items() for x in values])
def test_arrays_that_do_not_fit_are_refused_in_one_sentence(tmp_path: Path, name, value):
    path = tmp_path / "evaluation_test.npz"
    kept().save(path)
    rewritten(path, **{name: value})
    with pytest.raises(InputError, match=re.escape(str(path))) as refused:
        StoredScores.load(path)
    assert "run mgc-jax evaluate again" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_damaged_files_are_refused(tmp_path: Path):
    path = tmp_path / "evaluation_test.npz"
    kept().save(path)
    whole = path.read_bytes()
    for broken in (b"", b"PK", whole[: len(whole) // 2], whole[:-30], b"\x80\x04N.", b"\x93NUMPY"):
        path.write_bytes(broken)
        with pytest.raises(InputError, match="cannot be used"):
            StoredScores.load(path)
    for place in range(0, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            StoredScores.load(path)
        except InputError:
            continue
    with pytest.raises(InputError, match="No such file"):
        StoredScores.load(tmp_path / "missing.npz")


def test_a_header_that_promises_terabytes_is_refused(tmp_path: Path):
    path = tmp_path / "evaluation_test.npz"
    kept().save(path)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**12, 3)})
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()} | {"scores.npy": header.getvalue()}
    with zipfile.ZipFile(path, "w") as new:
        for name, content in members.items():
            new.writestr(name, content)
    with pytest.raises(InputError, match="cannot be used"):
        StoredScores.load(path)
