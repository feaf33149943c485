"""What a model card is about."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from data_pipeline.errors import InputError
from data_pipeline.lyrics.encoder import public_name
from mgc_jax.api import Model
from mgc_jax.evaluation.results import Evaluation, of_step, source

ENCODERS = {
    "minilm": ("sentence-transformers/all-MiniLM-L6-v2", "apache-2.0"),
    "google-bert/bert-base-uncased": ("google-bert/bert-base-uncased", "apache-2.0"),
    "google-bert/bert-base-cased": ("google-bert/bert-base-cased", "apache-2.0"),
}
"""Lyrics encoders whose name on the hub and licence are known."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """What a card is about.

    ``evaluations`` are by split; ``licence`` is that of the weights, as the hub spells it; ``onnx`` tells of the ONNX
    files, where they are.
    """

    model: Model
    name: str
    evaluations: Mapping[str, Evaluation]
    licence: str
    onnx: Mapping[str, Any] | None = None

    @property
    def valid(self) -> dict[str, Evaluation]:
        """The evaluations of these very weights."""
        return of_step(self.evaluations, int(self.model.state.step))

    @property
    def best(self) -> Evaluation | None:
        """The one that counts: of the test tracks, else of the validation tracks."""
        return self.valid.get("test") or self.valid.get("validation")

    @property
    def shown(self) -> Evaluation | None:
        """The one whose trivial baseline stands beside the figures."""
        return self.best or next(iter(self.valid.values()), None)

    @property
    def encoder(self) -> str:
        """The lyrics encoder's name on the hub, or that of its folder."""
        name = public_name(self.model.config.lyrics.encoder)
        return ENCODERS[name][0] if name in ENCODERS else name.removeprefix("./")

    @property
    def encoder_licence(self) -> str | None:
        """As far as it is known."""
        return ENCODERS.get(self.model.config.lyrics.encoder, (None, None))[1]

    @property
    def source(self) -> str:
        """The kind of corpus, or nothing where no evaluation says."""
        return source(self.evaluations)


def check_licence(text: str) -> str:
    """A licence as the hub spells it, such as ``apache-2.0`` or ``cc-by-nc-4.0``; InputError for what cannot be one."""
    if not 0 < len(text) <= 60 or set(text) - set("abcdefghijklmnopqrstuvwxyz0123456789.-"):
        raise InputError(
            f"The licence {text!r:.60} is none that the hub spells so, such as apache-2.0, mit or cc-by-4.0."
        )
    return text
