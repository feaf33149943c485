"""The genre graph's adjacency, (2) and (3), from the training labels and the names' embeddings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def adjacency(
    labels: Tensor,
    name_features: Tensor,
    *,
    kind: str = "both",
    direction: str = "given_column",
    similarity: str = "centred",
    normalise: str = "reweight",
) -> Tensor:
    """A (G, G) from multi-hot labels (N, G) of the training tracks and name embeddings (G, H), both float.

    Raises KeyError for an option that is not there.
    """
    together = labels.T @ labels
    own = together.diagonal()
    below = {"given_column": own[None, :], "given_row": own[:, None], "symmetric": torch.outer(own, own).sqrt()}
    conditional = (together / below[direction]).nan_to_num().fill_diagonal_(1.0)
    nodes = {"raw": name_features, "centred": name_features - name_features.mean(0)}[similarity]
    alike = F.cosine_similarity(nodes[:, None], nodes[None], dim=-1).fill_diagonal_(1.0)
    edges = {
        "both": (conditional + alike) / 2,
        "cooccurrence": conditional,
        "similarity": alike,
        "identity": torch.eye(len(alike), dtype=alike.dtype),
    }[kind]
    if normalise == "reweight":  # Chen et al. (CVPR 2019), equation (8) with p = .2
        others = edges.clone().fill_diagonal_(0.0)
        shared = F.normalize(others, p=1.0, dim=1)
        return 0.2 * shared + torch.diag(1.0 - 0.2 * shared.abs().sum(1))
    degree = edges.abs().sum(1)
    return {"row": edges / degree[:, None], "symmetric": edges / torch.outer(degree, degree).sqrt(), "none": edges}[
        normalise
    ]
