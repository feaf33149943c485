"""GCEM: genre correlations as a graph, and a graph convolution that turns it into one vector per genre.

Axis letters: G genres, F node features, D width.
"""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from mgc_jax.models.config import Adjacency, Direction, Normalisation, Similarity
from mgc_jax.models.constant import Constant


def cooccurrence_adjacency(cooccurrence: np.ndarray, direction: Direction) -> np.ndarray:
    """A1 (G, G) of equation (2) from counts (G, G) whose diagonal holds N_j, the tracks of genre j.

    ``given_column`` is the printed N_ij / N_j, that is P(i given j); ``given_row`` is N_ij / N_i, what the paper's
    prose says; ``symmetric`` is N_ij / sqrt(N_i N_j). The diagonal is 1, also for a genre that never occurs.
    """
    counts = np.asarray(cooccurrence, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"co-occurrence counts must be square, not {counts.shape}")
    own = np.diagonal(counts)
    if direction == "given_column":
        below = np.broadcast_to(own[None, :], counts.shape)
    elif direction == "given_row":
        below = np.broadcast_to(own[:, None], counts.shape)
    elif direction == "symmetric":
        below = np.sqrt(own[:, None] * own[None, :])
    else:
        raise ValueError(f"direction must be given_column, given_row or symmetric, not {direction!r}")
    adjacency = np.divide(counts, below, out=np.zeros_like(counts), where=below > 0)
    np.fill_diagonal(adjacency, 1.0)
    return adjacency.astype(np.float32)


def similarity_adjacency(features: np.ndarray, kind: Similarity, *, k: int = 8) -> np.ndarray:
    """A2 (G, G) of equation (3): cosines between the name embeddings, features (G, F); the diagonal is 1.

    ``raw`` is the paper's. Names are all alike to BERT, so raw cosines drown A1; ``centred`` subtracts the mean
    embedding first (entries can be negative), ``topk`` keeps each row's ``k`` largest off-diagonal raw cosines
    (not symmetric).
    """
    nodes = np.asarray(features, dtype=np.float64)
    if nodes.ndim != 2:
        raise ValueError(f"features must be (genres, width), not {nodes.shape}")
    if kind not in ("raw", "centred", "topk"):
        raise ValueError(f"similarity must be raw, centred or topk, not {kind!r}")
    if kind == "centred":
        nodes = nodes - nodes.mean(axis=0)
    norm = np.linalg.norm(nodes, axis=1, keepdims=True)
    nodes = np.divide(nodes, norm, out=np.zeros_like(nodes), where=norm > 0)
    cosine = nodes @ nodes.T
    if kind == "topk":
        off = np.where(np.eye(len(cosine), dtype=bool), -np.inf, cosine)
        rank = np.argsort(np.argsort(-off, axis=1, kind="stable"), axis=1)
        cosine = np.where(rank < k, cosine, 0.0)
    np.fill_diagonal(cosine, 1.0)
    return cosine.astype(np.float32)


def mean_off_diagonal(adjacency: np.ndarray) -> float:
    """Mean of (G, G) off its diagonal: for A2, how alike the genre names look to the encoder; 0 for one genre."""
    away = ~np.eye(len(adjacency), dtype=bool)
    return float(adjacency[away].mean()) if away.any() else 0.0


NEIGHBOURS = 0.2
"""p of Chen et al. (ML-GCN, CVPR 2019), equation (8): the weight of all neighbours, against 1 - p of oneself."""


def combine(a1: np.ndarray, a2: np.ndarray, kind: Adjacency, normalise: Normalisation) -> np.ndarray:
    """The graph's A (G, G): (A1 + A2) / 2, or one of its halves, or ``identity``: the same network without edges.

    ``normalise``: ``reweight`` leaves every genre 1 - p of itself and shares p = .2 out among its neighbours;
    ``row`` divides by the row's degree, ``symmetric`` by the roots of both degrees, ``none`` is literal. With dozens
    of neighbours all but the first leave a genre little of itself, and two layers make all genres alike
    (over-smoothing). A degree is the sum of absolute values, since centred cosines are negative too; a row of zeros
    stays. The halves carry a unit diagonal, so no self loops are added.
    """
    choices = {"both": (a1 + a2) / 2, "cooccurrence": a1, "similarity": a2, "identity": np.eye(len(a1))}
    if kind not in choices:
        raise ValueError(f"adjacency must be one of {', '.join(choices)}, not {kind!r}")
    adjacency = np.asarray(choices[kind], dtype=np.float64)
    if normalise == "reweight":
        neighbours = adjacency - np.diag(np.diagonal(adjacency))
        degree = np.abs(neighbours).sum(axis=1, keepdims=True)
        shared = np.divide(NEIGHBOURS * neighbours, degree, out=np.zeros_like(neighbours), where=degree > 0)
        itself = np.where(degree[:, 0] > 0, 1.0 - NEIGHBOURS, 1.0)
        return (shared + np.diag(itself)).astype(np.float32)
    degree = np.abs(adjacency).sum(axis=1)
    inverse = np.divide(1.0, degree, out=np.zeros_like(degree), where=degree > 0)
    if normalise == "row":
        adjacency = adjacency * inverse[:, None]
    elif normalise == "symmetric":
        adjacency = np.sqrt(inverse)[:, None] * adjacency * np.sqrt(inverse)[None, :]
    elif normalise != "none":
        raise ValueError(f"normalise must be reweight, row, symmetric or none, not {normalise!r}")
    return adjacency.astype(np.float32)


class GenreGraph(nnx.Module):
    """Graph convolution H' = A H W, ``depth`` times with LeakyReLU 0.2 between: () -> genre vectors (G, D).

    The node features are scaled by one number to unit mean square (cosines stay as they are), so that the genre
    vectors start at the same scale for every encoder.
    """

    def __init__(
        self,
        adjacency: jax.Array | np.ndarray,
        node_features: jax.Array | np.ndarray,
        *,
        hidden: int,
        out: int,
        depth: int,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        genres, features = node_features.shape
        if adjacency.shape != (genres, genres):
            raise ValueError(f"{genres} genre names, but an adjacency of {adjacency.shape}")
        if depth < 1:
            raise ValueError(f"the graph needs at least one layer, not {depth}")
        node_features = jnp.asarray(node_features, jnp.float32)
        scale = jnp.sqrt(jnp.mean(jnp.square(node_features)))
        self.adjacency = Constant(jnp.asarray(adjacency, jnp.float32))
        self.node_features = Constant(node_features / jnp.where(scale > 0, scale, 1.0))
        self.dtype = dtype
        widths = (features, *(hidden,) * (depth - 1), out)
        self.layers = nnx.List(
            nnx.Linear(before, after, use_bias=False, dtype=dtype, rngs=rngs)
            for before, after in itertools.pairwise(widths)
        )

    def __call__(self) -> jax.Array:
        adjacency = self.adjacency[...].astype(self.dtype)
        nodes = self.node_features[...].astype(self.dtype)
        for depth, layer in enumerate(self.layers):
            nodes = adjacency @ layer(nodes if depth == 0 else jax.nn.leaky_relu(nodes, 0.2))
        return nodes
