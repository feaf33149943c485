"""Exact search: what sorting all similarities gives, whatever the chunks, with ties, gaps and the query itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgc_jax.inference import neighbours
from mgc_jax.inference.neighbours import nearest


def sorted_plainly(vectors, query, count, cosine, without):
    """Rows by falling similarity, those without a direction left out."""
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(vectors, axis=1)
        similarity = vectors @ (query / np.linalg.norm(query) if cosine else query)
        similarity = similarity / lengths if cosine else similarity
    known = [row for row in range(len(vectors)) if np.isfinite(lengths[row]) and lengths[row] > 0 and row != without]
    return sorted(known, key=lambda row: (-similarity[row], row))[:count], similarity, len(known)


@st.composite
def collections(draw):
    """Whole numbers, of which equal rows are equally near to the last bit, with rows of NaN and of 0."""
    rows, width = draw(st.integers(0, 40)), draw(st.integers(1, 4))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    vectors = random.integers(-2, 3, (rows, width)).astype(np.float32)
    vectors[random.random(rows) < 0.2] = np.nan
    query = random.integers(-2, 3, width).astype(np.float32)
    query[0] = query[0] or 1
    return vectors, query


@given(collections(), st.integers(1, 50), st.booleans(), st.integers(-1, 40), st.integers(1, 9))
def test_the_nearest_are_those_that_sorting_finds(collection, count, cosine, without, chunk):
    vectors, query = collection
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "CHUNK_BYTES", chunk * 4 * vectors.shape[1])
        found = nearest(vectors, query, count, cosine=cosine, without=None if without < 0 else without)
    wanted, similarity, known = sorted_plainly(vectors, query, count, cosine, without)
    assert found.compared == known
    assert len(found.rows) == min(count, known)
    np.testing.assert_allclose(found.similarity, similarity[wanted], atol=1e-6)
    assert (np.diff(found.similarity) <= 0).all()
    ties = found.similarity[1:] == found.similarity[:-1]
    assert (found.rows[1:][ties] > found.rows[:-1][ties]).all()
    if not cosine:  # no rounding: exactly the same
        assert found.rows.tolist() == wanted
    np.testing.assert_allclose(similarity[found.rows], similarity[wanted], atol=1e-6)


def test_a_file_is_searched_a_chunk_at_a_time(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    np.save(tmp_path / "vectors.npy", random.normal(size=(500, 16)).astype(np.float32))
    vectors = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    monkeypatch.setattr(neighbours, "CHUNK_BYTES", 4 * 16 * 77)
    for row in (3, 77, 400):
        found = nearest(vectors, vectors[row], 5, without=row)
        wanted, similarity, known = sorted_plainly(vectors, vectors[row], 5, True, row)
        assert (found.rows.tolist(), found.compared) == (wanted, known)
        np.testing.assert_allclose(found.similarity, similarity[wanted], atol=1e-6)
    found = nearest(vectors, vectors[77], 5)
    assert found.rows[0] == 77
    assert found.similarity[0] == pytest.approx(1)


def test_of_equal_vectors_the_first_rows_come_first():
    found = nearest(np.ones((9, 3), np.float32), np.ones(3), 4, without=1)
    assert found.rows.tolist() == [0, 2, 3, 4]


@pytest.mark.parametrize("query", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_a_query_without_a_direction_is_refused(query):
    with pytest.raises(ValueError, match="no direction"):
        nearest(np.ones((2, 2), np.float32), np.array(query), 1)
