"""How an example is stored: what TFDS calls its features."""

from __future__ import annotations

from typing import Any

from data_pipeline import host_tensorflow  # noqa: F401
from data_pipeline.prepare.shards import Shape
from data_pipeline.schema import AUDIO

# isort: split
import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.example_serializer import ExampleSerializer


def features(shape: Shape) -> tfds.features.FeaturesDict:
    """The stored example as raw little-endian bytes: spectrogram (T, M), audio_features (S, H) or filterbank (W T, M),
    tokens (L,), labels (G,), and where the lyrics encoder has run already lyrics_features (n, H) of the n tokens
    that the lyrics have."""

    def raw(shape: tuple[int | None, ...], dtype: Any) -> tfds.features.Tensor:
        # The default would store every uint8 as an int64 varint.
        return tfds.features.Tensor(shape=shape, dtype=dtype, encoding=tfds.features.Encoding.BYTES)

    encoded = {"lyrics_features": raw((None, shape.width), np.float16)} if shape.width else {}
    return tfds.features.FeaturesDict(
        {
            AUDIO[shape.input]: raw(shape.audio, np.uint8 if shape.input == "spectrogram" else np.float16),
            "tokens": raw((shape.max_tokens,), np.dtype(shape.token_dtype)),
            **encoded,
            "num_tokens": tfds.features.Scalar(np.int32),
            "labels": raw((shape.num_genres,), np.uint8),
            "index": tfds.features.Scalar(np.int32),
            "id": tfds.features.Text(),
        }
    )


def serialised(stored: tfds.features.FeaturesDict, example: dict[str, Any]) -> bytes:
    """The record of an example, the same in every process: TFDS's own has the fields in any order."""
    record = ExampleSerializer(stored.get_serialized_info()).get_tf_example(stored.encode_example(example))
    return record.SerializeToString(deterministic=True)
