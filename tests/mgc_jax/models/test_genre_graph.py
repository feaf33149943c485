import itertools

import hypothesis.extra.numpy as hnp
import jax
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from mgc_jax.models.genre_graph import (
    Constant,
    GenreGraph,
    combine,
    cooccurrence_adjacency,
    mean_off_diagonal,
    similarity_adjacency,
)

labels = hnp.arrays(np.int64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 1))


@settings(max_examples=40)
@given(labels)
def test_equation_2_by_loops(y):
    counts = y.T @ y
    got = {d: cooccurrence_adjacency(counts, d) for d in ("given_column", "given_row", "symmetric")}
    for i in range(len(counts)):
        for j in range(len(counts)):
            together, of_i, of_j = (y[:, i] & y[:, j]).sum(), y[:, i].sum(), y[:, j].sum()
            want = {"given_column": of_j, "given_row": of_i, "symmetric": np.sqrt(of_i * of_j)}
            for direction, below in want.items():
                value = 1.0 if i == j else together / below if below else 0.0
                assert got[direction][i, j] == pytest.approx(value)


def test_equation_3_by_loops():
    features = np.random.default_rng(0).normal(1.0, 1.0, (7, 5))
    raw = similarity_adjacency(features, "raw")
    centred = similarity_adjacency(features, "centred")
    centre = features - features.mean(0)
    for i in range(7):
        for j in range(7):
            for got, f in ((raw, features), (centred, centre)):
                want = f[i] @ f[j] / np.linalg.norm(f[i]) / np.linalg.norm(f[j])
                assert got[i, j] == pytest.approx(want, abs=1e-6)
    assert mean_off_diagonal(raw) == pytest.approx((raw.sum() - 7) / 42, rel=1e-5)
    top = similarity_adjacency(features, "topk", k=2)
    assert (np.count_nonzero(top, axis=1) == 3).all()
    for i in range(7):
        largest = sorted((raw[i, j] for j in range(7) if j != i), reverse=True)[:2]
        assert sorted((top[i, j] for j in range(7) if j != i and top[i, j]), reverse=True) == largest
    assert np.isfinite(similarity_adjacency(np.zeros((3, 5)), "raw")).all()


def test_combinations_and_normalisations():
    a1 = np.array([[1.0, 0.5], [0.0, 1.0]])
    a2 = np.array([[1.0, -0.9], [-0.9, 1.0]])
    np.testing.assert_allclose(combine(a1, a2, "both", "none"), [[1.0, -0.2], [-0.45, 1.0]], rtol=1e-6)
    row = combine(a1, a2, "both", "row")
    np.testing.assert_allclose(row, [[1 / 1.2, -0.2 / 1.2], [-0.45 / 1.45, 1 / 1.45]], rtol=1e-6)
    np.testing.assert_allclose(combine(a1, a2, "cooccurrence", "row").sum(1), 1.0)
    np.testing.assert_allclose(combine(a1, a2, "both", "reweight"), [[0.8, -0.2], [-0.2, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(combine(a1, a2, "cooccurrence", "reweight"), [[0.8, 0.2], [0.0, 1.0]], rtol=1e-6)
    three = np.array([[1.0, 0.3, 0.1], [0.0, 1.0, 0.5], [0.2, 0.2, 1.0]])
    np.testing.assert_allclose(
        combine(three, three, "both", "reweight"), [[0.8, 0.15, 0.05], [0.0, 0.8, 0.2], [0.1, 0.1, 0.8]], rtol=1e-6
    )
    np.testing.assert_array_equal(combine(a1, a2, "identity", "reweight"), np.eye(2))
    symmetric = combine(a1, a2, "similarity", "symmetric")
    np.testing.assert_allclose(symmetric, a2 / 1.9, rtol=1e-6)
    for normalise in ("reweight", "row", "symmetric", "none"):
        assert np.isfinite(combine(np.zeros((3, 3)), np.zeros((3, 3)), "both", normalise)).all()
    for bad in ({"kind": "none"}, {"normalise": "column"}):
        with pytest.raises(ValueError, match="must be"):
            combine(a1, a2, **{"kind": "both", "normalise": "row"} | bad)
    with pytest.raises(ValueError, match="direction"):
        cooccurrence_adjacency(np.eye(3), "both")
    with pytest.raises(ValueError, match="similarity"):
        similarity_adjacency(np.eye(3), "cosine")


@pytest.mark.parametrize("kind", ["both", "cooccurrence", "similarity", "identity"])
@pytest.mark.parametrize("direction", ["given_column", "given_row", "symmetric"])
@pytest.mark.parametrize("normalise", ["reweight", "row", "symmetric", "none"])
@pytest.mark.parametrize("similarity", ["raw", "centred", "topk"])
def test_the_graph_from_labels_entry_by_entry(kind, direction, normalise, similarity):
    rng = np.random.default_rng(5)
    y = rng.random((40, 11)) < 0.3
    y[:, 3] = False  # a genre that never occurs
    names = rng.normal(1.0, 1.0, (11, 13))
    ours = combine(
        cooccurrence_adjacency(y.T.astype(int) @ y.astype(int), direction),
        similarity_adjacency(names, similarity),
        kind,
        normalise,
    )
    compared = names - names.mean(0) if similarity == "centred" else names
    alike = 1 - cdist(compared, compared, "cosine")
    edges = np.zeros((11, 11))
    for i, j in itertools.product(range(11), repeat=2):
        both, of_i, of_j = (y[:, i] & y[:, j]).sum(), y[:, i].sum(), y[:, j].sum()
        below = {"given_column": of_j, "given_row": of_i, "symmetric": (of_i * of_j) ** 0.5}[direction]
        a1 = 1.0 if i == j else both / below if below else 0.0
        closer = sum(alike[i, other] > alike[i, j] for other in range(11) if other != i)
        a2 = alike[i, j] if i == j or similarity != "topk" or closer < 8 else 0.0
        edges[i, j] = {"both": (a1 + a2) / 2, "cooccurrence": a1, "similarity": a2, "identity": float(i == j)}[kind]
    want = np.zeros((11, 11))
    for i, j in itertools.product(range(11), repeat=2):
        of_i, of_j = abs(edges[i]).sum(), abs(edges[j]).sum()
        others = of_i - abs(edges[i, i])
        itself = 0.8 if others else 1.0
        want[i, j] = {
            "reweight": itself if i == j else 0.2 * edges[i, j] / others if others else 0.0,  # Chen et al., (8)
            "row": edges[i, j] / of_i,
            "symmetric": edges[i, j] / (of_i * of_j) ** 0.5,
            "none": edges[i, j],
        }[normalise]
    np.testing.assert_allclose(ours, want, atol=1e-6)


def build(order=slice(None), depth=2, scale=1.0):
    rng = np.random.default_rng(0)
    adjacency, nodes = rng.random((7, 7)), rng.normal(size=(7, 5)) * scale
    return GenreGraph(adjacency[order][:, order], nodes[order], hidden=11, out=13, depth=depth, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_permuting_genres_permutes_vectors(depth):
    order = np.array([4, 2, 6, 0, 1, 5, 3])
    vectors = build(depth=depth)()
    assert vectors.shape == (7, 13)
    np.testing.assert_allclose(build(order, depth)(), vectors[order], atol=1e-5)


def test_convolution_by_hand_and_scale_of_nodes():
    graph = build()
    a, h = np.asarray(graph.adjacency[...]), np.asarray(graph.node_features[...])
    assert np.mean(h**2) == pytest.approx(1.0, rel=1e-5)
    first, second = (np.asarray(layer.kernel[...]) for layer in graph.layers)
    hidden = a @ h @ first
    np.testing.assert_allclose(graph(), a @ np.where(hidden > 0, hidden, 0.2 * hidden) @ second, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(build(scale=0.01)(), graph(), rtol=1e-4, atol=1e-4)


def test_the_graph_itself_is_not_trained():
    _, params, constants = nnx.split(build(), nnx.Param, Constant)
    assert [v.shape for v in jax.tree.leaves(constants)] == [(7, 7), (7, 5)]
    assert len(jax.tree.leaves(params)) == 2
    with pytest.raises(ValueError, match="adjacency"):
        GenreGraph(np.eye(5), np.ones((7, 3)), hidden=4, out=3, depth=2, rngs=nnx.Rngs(0))
