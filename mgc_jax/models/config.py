"""The settings of the model: what each part of it may be, and what it is unless somebody says otherwise."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

Architecture = Literal["ru", "santana", "pandeya"]
AudioPreset = Literal["paper", "narrow", "fcn5", "paper_patches", "narrow_patches"]
AudioTokens = Literal["time", "all"]
Fusion = Literal["scma", "concat", "audio", "lyrics"]
Pooling = Literal["mean", "flatten"]
Head = Literal["graph", "linear"]
Adjacency = Literal["both", "cooccurrence", "similarity", "identity"]
Direction = Literal["given_column", "given_row", "symmetric"]
Similarity = Literal["raw", "centred", "topk"]
Normalisation = Literal["reweight", "row", "symmetric", "none"]


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The paper's model, its parts and its two rivals."""

    architecture: Architecture = "ru"
    """The paper's own model, which the settings below describe, or one of its rivals."""
    baseline_width: Annotated[float, {"gt": 0}] = 1.0
    """Multiplies the published channels and units of `santana` and `pandeya`."""
    audio_preset: AudioPreset = "paper"
    """Channels and pooling of the audio CNN; with patches its first block is faster."""
    audio_tokens: AudioTokens = "time"
    """`time` folds frequency into the channels; `all` makes a token of every position."""
    width: Annotated[int, {"gt": 0}] = 512
    """D, of tokens, the fused vector and the genre vectors; a multiple of `model.heads`."""
    fusion: Fusion = "scma"
    """Cross-attention both ways; `concat` has none, `audio` and `lyrics` use one modality alone."""
    heads: Annotated[int, {"gt": 0}] = 8
    """Heads of the cross-attention; 1 without `model.residual_norm` is the literal equation (1)."""
    residual_norm: bool = True
    """Residual connection and layer normalisation around the cross-attention."""
    pooling: Pooling = "mean"
    """Mean over real tokens, or the literal flattening, which fixes the lengths."""
    head: Head = "graph"
    """Genre vectors from the genre graph, or of a linear layer."""
    adjacency: Adjacency = "both"
    """The graph's edges; `identity`, no edges, is the control."""
    cooccurrence_direction: Direction = "given_column"
    """Which of two genres the conditional probability of equation (2) is given."""
    similarity: Similarity = "centred"
    """Cosines of the genre names' embeddings: `raw` is literal, `centred` takes their mean off first, `topk` keeps the
    largest."""
    adjacency_normalise: Normalisation = "reweight"
    """`reweight` gives all neighbours a share of 0.2; `row` and `symmetric` divide by degrees; `none` is literal."""
    gcn_hidden: Annotated[int, {"gt": 0}] = 1024
    """Width of the graph's hidden layers."""
    gcn_depth: Annotated[int, {"gt": 0}] = 2
    """Layers of the graph."""
    contrastive_width: Annotated[int, {"gt": 0}] = 4
    """Width of g_a and g_l, which the A-L loss compares."""
    contrastive_normalise: bool = False
    """Compare by the cosine instead of the paper's dot product."""
    genre_bias: bool = True
    """A bias for each genre, which starts at its log-odds among the training tracks."""
    dropout: Annotated[float, {"ge": 0, "lt": 1}] = 0.1
    """Dropout in the cross-attention and before the genres."""
    wide: Annotated[float, {"ge": 0, "lt": 1}] = 0.0
    """The share of the wide path, a logistic regression on both encoders' stored outputs, in the log odds; 0 is the
    paper's."""
    wide_tags: Annotated[float, {"ge": 0}] = 0.0
    """What a tag that the audio encoder knows adds to the wide path's log odds of the genre of the same name, for each
    standard deviation."""
