"""A model's weights, apart from whatever trains them, and how they are made already sharded."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from data_pipeline.genres import GenreVocabulary
from mgc_jax.config import Config
from mgc_jax.models.bert import BertConfig, Frozen
from mgc_jax.models.constant import Constant
from mgc_jax.models.initial_keys import InitialKeys
from mgc_jax.network import build
from mgc_jax.runtime import sharding

Encoders = dict[str, Any]
"""The pretrained encoders that run in the step, by their names in the model."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ModelState:
    """What a model has learned after ``step`` steps. Pretrained encoders are in it only where they are trained."""

    step: jax.Array  # () int32
    params: nnx.State
    batch_stats: nnx.State
    constants: nnx.State  # adjacency and node features of the genre graph, and the wide path


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """What training carries from step to step, and resumes from: the model and the optimiser's state."""

    model: ModelState
    opt_state: Any


@dataclasses.dataclass(frozen=True)
class Network:
    """The static half of the model, its frozen weights, which an encoder that is trained has not, and where everything
    lives."""

    graphdef: nnx.GraphDef
    frozen: nnx.State
    mesh: Mesh
    rules: sharding.Rules  # of what is learned, and so of the optimiser's state
    state_shardings: ModelState  # of NamedShardings

    @property
    def frozen_shardings(self) -> Any:
        """Of ``frozen``."""
        return jax.tree.map(lambda x: x.sharding, self.frozen)

    def merge(self, state: ModelState, frozen: nnx.State) -> Any:
        """The callable model of ``state``, inside or outside a jitted function."""
        return nnx.merge(self.graphdef, state.params, state.batch_stats, state.constants, frozen)


def initialise(config: Config, vocabulary: GenreVocabulary, encoder: Path, mesh: Mesh) -> tuple[Network, ModelState]:
    """Build the network and its first state, initialised under jit into its shardings.

    Args:
        encoder: folder of the pretrained lyrics encoder.
    """
    encoders, bert_config = build.pretrained_encoders(encoder, config), build.bert_config(encoder)
    graph = build.graph_constants(config, vocabulary, encoders["bert"], encoder) if encoders else ()
    network, init = _define(config, vocabulary.size, bert_config, encoders, mesh, build.audio_shape(config))
    return network, init(_weights(encoders, nnx.Param), build.prior_logits(vocabulary), *graph)


def untrained(
    config: Config,
    num_genres: int,
    bert_config: BertConfig,
    mesh: Mesh,
    audio_shape: tuple[int, int] | None = None,
) -> tuple[Network, ModelState]:
    """Like :func:`initialise` without any file: the lyrics encoder is random, and no two genres are related.

    Args:
        audio_shape: (S, H) of the audio encoder's outputs, where the model hears these.
    """
    encoders: Encoders = {}
    if build.uses_bert(config):
        encoders["bert"] = build.random_bert(bert_config, config, rngs=InitialKeys(0))
    network, init = _define(config, num_genres, bert_config, encoders, mesh, audio_shape)
    names = np.random.default_rng(0).normal(size=(num_genres, bert_config.hidden_size)).astype(np.float32)
    graph = (np.eye(num_genres, dtype=np.float32), names) if encoders else ()
    return network, init(_weights(encoders, nnx.Param), np.zeros(num_genres, np.float32), *graph)


def untrained_shapes(
    config: Config,
    num_genres: int,
    bert_config: BertConfig,
    mesh: Mesh,
    audio_shape: tuple[int, int] | None = None,
) -> tuple[Network, ModelState]:
    """Like :func:`untrained` with shapes and shardings only, the lyrics encoder's too: for absent devices."""
    encoders: Encoders = {"bert": nnx.eval_shape(lambda: build.random_bert(bert_config, config, rngs=InitialKeys(0)))}
    network, init = _define(config, num_genres, bert_config, encoders, mesh, audio_shape, place=shapes_on)
    shapes = jax.eval_shape(init, _weights(encoders, nnx.Param), *_shapes(num_genres, bert_config, encoders))
    return network, shapes_on(shapes, network.state_shardings)


def abstract(config: Config, num_genres: int, encoder: Path, mesh: Mesh) -> tuple[Network, ModelState]:
    """Like :func:`initialise`, but with shapes and shardings only: the target that weights are restored into."""
    encoders, bert_config = build.pretrained_encoders(encoder, config), build.bert_config(encoder)
    network, init = _define(config, num_genres, bert_config, encoders, mesh, build.audio_shape(config))
    shapes = jax.eval_shape(init, _weights(encoders, nnx.Param), *_shapes(num_genres, bert_config, encoders))
    return network, shapes_on(shapes, network.state_shardings)


def _weights(encoders: Encoders, kind: type[nnx.Variable]) -> nnx.State:
    """Those weights of the encoders that are trained (``nnx.Param``) or :class:`Frozen`, at their places in the model;
    empty where there are none."""
    weights = {name: nnx.pure(nnx.state(encoder, kind)) for name, encoder in encoders.items()}
    return nnx.State({name: part for name, part in weights.items() if part})


def shapes_on(tree: Any, shardings: Any) -> Any:
    """Shapes that say where they will be."""
    return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), tree, shardings)


def _shapes(num_genres: int, bert_config: BertConfig, encoders: Encoders) -> list[jax.ShapeDtypeStruct]:
    """Of what the model starts from: prior logits, and adjacency and node features where there is a genre graph."""
    graph = [(num_genres, num_genres), (num_genres, bert_config.hidden_size)] if encoders else []
    return [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in [(num_genres,), *graph]]


def _define(
    config: Config,
    num_genres: int,
    bert_config: BertConfig,
    encoders: Encoders,
    mesh: Mesh,
    audio_shape: tuple[int, int] | None,
    place: Callable[[Any, Any], Any] = jax.device_put,
) -> tuple[Network, Any]:
    def split(prior: jax.Array, adjacency: Any = None, features: Any = None) -> tuple[Any, ...]:
        model = build.classifier(
            config,
            bert_config=bert_config,
            prior_logits=prior,
            audio_shape=audio_shape,
            adjacency=adjacency,
            node_features=features,
            mesh=mesh,
            rngs=InitialKeys(config.train.seed),
        )
        graphdef, *states = nnx.split(model, nnx.Param, nnx.BatchStat, Constant, Frozen)
        return (graphdef, *map(nnx.pure, states))

    def init(pretrained: nnx.State, *given: jax.Array) -> ModelState:
        _, params, batch_stats, constants, _ = split(*given)
        return ModelState(jnp.zeros((), jnp.int32), nnx.State({**params, **pretrained}), batch_stats, constants)

    shapes = _shapes(num_genres, bert_config, encoders)
    graphdef = nnx.graphdef(nnx.eval_shape(lambda *a: nnx.merge(*split(*a)), *shapes))
    rules = sharding.rules(config.compute.fsdp)
    pretrained, frozen = _weights(encoders, nnx.Param), _weights(encoders, Frozen)
    state_shardings = sharding.tree_shardings(jax.eval_shape(init, pretrained, *shapes), mesh, rules)
    # Not cut over "data": they would have to be gathered in every step, and need neither gradient nor optimiser.
    frozen = place(frozen, sharding.tree_shardings(frozen, mesh, sharding.rules()))
    return Network(graphdef, frozen, mesh, rules, state_shardings), jax.jit(init, out_shardings=state_shardings)


def parameter_table(state: ModelState, frozen: nnx.State) -> str:
    """One line per part of the network: shape counts of trainable and frozen parameters."""
    rows: dict[str, list[int]] = {}
    for column, tree in enumerate((state.params, frozen)):
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
            part = jax.tree_util.keystr(path[:1], simple=True)
            rows.setdefault(part, [0, 0])[column] += int(np.prod(leaf.shape))
    rows["total"] = [sum(r[0] for r in rows.values()), sum(r[1] for r in rows.values())]
    width = max(map(len, rows))
    lines = [f"{'part':<{width}}  {'trainable':>12}  {'frozen':>12}"]
    lines += [f"{name:<{width}}  {a:>12,}  {b:>12,}" for name, (a, b) in rows.items()]
    return "\n".join(lines)
