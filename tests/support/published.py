"""Random weights of true shapes, made and saved by Transformers, and what our side reads of them."""

import json
import math
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from mgc_jax.models.pretrained import Published


def randomise(model) -> None:
    """Every weight away from what it is initialised as, the norms' and the biases too; and no dropout."""
    import torch

    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point():
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("running_var"):
            tensor.copy_(1 + noise.abs())
        elif tensor.ndim < 2:
            tensor.add_(0.1 * noise)
        else:
            fan_in = math.prod(tensor.shape[1:])
            tensor.copy_(noise / math.sqrt(fan_in) if "position" not in name else 0.3 * noise)
    model.eval()


def save(folder: Path, model, preprocessor=None) -> Path:
    """The folder as it would come from the hub."""
    model.save_pretrained(folder)
    if preprocessor is not None:
        preprocessor.save_pretrained(folder)
    return folder


def read(folder: Path) -> Published:
    """What the folder holds."""
    files = [folder / "config.json", folder / "preprocessor_config.json"]
    config, preprocessor = (json.loads(file.read_text()) if file.is_file() else {} for file in files)
    return Published("mine", config, preprocessor, load_file(folder / "model.safetensors"))


def music(seconds: float, rate: int, count: int = 1) -> np.ndarray:
    """Waveforms (count, samples) float32 of a decaying chord over noise 40 dB below, each of another pitch."""
    rng = np.random.default_rng(0)
    time = np.arange(round(seconds * rate)) / rate
    pitches = 110 * 2 ** (np.arange(count)[:, None] / 5) * np.array([1, 1.26, 1.5, 4.2, 9.7])
    chord = np.sin(2 * np.pi * pitches[..., None] * time).mean(1) * np.exp(-time % 0.7)
    return (0.5 * chord + 0.005 * rng.normal(size=chord.shape)).astype(np.float32)
