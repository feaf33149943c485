"""A tiny AST of random weights in Hugging Face's layout: it hears 1.2 s at once, as one token."""

import dataclasses
import json
from pathlib import Path

import numpy as np
from flax import nnx
from safetensors.numpy import save_file

from mgc_jax.models import audio_spectrogram_transformer as ast
from mgc_jax.network.published_folder import WEIGHTS

CONFIG = ast.AstConfig(
    hidden_size=28,
    num_hidden_layers=1,
    num_attention_heads=7,
    intermediate_size=37,
    max_length=119,
    num_mel_bins=47,
)
PREPROCESSOR = {"feature_extractor_type": "ASTFeatureExtractor", "num_mel_bins": 47, "max_length": 119}


def save(folder: Path) -> Path:
    """All that the folder of an AST holds."""
    folder.mkdir()
    network = ast.AudioSpectrogramTransformer(CONFIG, 1, rngs=nnx.Rngs(0))
    weights = {".".join(map(str, path)): v[...] for path, v in nnx.to_flat_state(nnx.state(network))}
    tensors = {
        theirs: np.ascontiguousarray(
            np.moveaxis(weights[ours], (-1, -2), (0, 1)) if "kernel" in ours else weights[ours]
        )
        for ours, theirs in ast.weight_table(CONFIG).items()
    }
    save_file(tensors, folder / WEIGHTS)
    (folder / "config.json").write_text(json.dumps({"model_type": ast.MODEL_TYPE, **dataclasses.asdict(CONFIG)}))
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    return folder
