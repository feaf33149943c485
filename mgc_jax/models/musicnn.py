"""MSD_musicnn: a CNN that has heard 200 000 songs of the Million Song Dataset, and the 50 tags that it was taught.

Source: Pons & Serra, "musicnn: Pre-trained convolutional neural networks for music audio tagging", ISMIR 2019
late-breaking demo; the network is that of Pons et al., "End-to-end learning for music audio tagging at scale", ISMIR
2018. The weights (792 k of the network, ISC licence) come with the PyPI package ``musicnn`` 0.1.0.

It departs from the package in one thing: the package rounds mel bands to float16 before it takes logarithms, in which
loud ones overflow; here all is float32.

Axis letters: N windows, P samples of a window, T = 187 frames, M = 96 mel bands, C channels, H = 1506 pooled features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import expit

from mgc_jax.models.audio_encoder import AudioEncoder, Tags

RATE = 16_000  # Hz
N_FFT, HOP, N_MELS = 512, 256, 96
FRAMES = 187  # 3 s
TAGS = (
    *("rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s", "alternative rock"),
    *("jazz", "beautiful", "metal", "chillout", "male vocalists", "classic rock", "soul", "indie rock", "Mellow"),
    *("electronica", "80s", "folk", "90s", "chill", "instrumental", "punk", "oldies", "blues", "hard rock"),
    *("ambient", "acoustic", "experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country"),
    *("easy listening", "sexy", "catchy", "funk", "electro", "heavy metal", "Progressive rock", "60s", "rnb"),
    *("indie pop", "sad", "House", "happy"),
)
"""In the order of the logits, spelt as on Last.fm."""
NO_GENRES = {
    "who sings": ("female vocalists", "male vocalists", "female vocalist"),
    "when it was made": ("60s", "70s", "80s", "90s", "00s", "oldies"),
    "how it feels, and what it is for": ("beautiful", "Mellow", "chill", "sexy", "catchy", "sad", "happy", "party"),
    "what it is played on": ("instrumental", "guitar", "acoustic"),
}
"""The tags that say something else of a song."""
GENRES = tuple(tag for tag in TAGS if not any(tag in tags for tags in NO_GENRES.values()))
"""The 30 tags that name a kind of music, wide ones ("alternative", "indie", "experimental") and "chillout" among them:
records are sold and stations are called by these names."""

_TIMBRAL, _TEMPORAL, _MIDDLE, _DENSE = 204, 51, 64, 200  # channels
_EPSILON = 1e-3  # of the batch norms
_CONV, _NORM, _LINEAR = "conv2d", "batch_normalization", "dense"
_FRONT = (
    (7, 38, 1, _TIMBRAL),
    (7, 67, 1, _TIMBRAL),
    (128, 1, 1, _TEMPORAL),
    (64, 1, 1, _TEMPORAL),
    (32, 1, 1, _TEMPORAL),
)
_FRONT_WIDTH = 2 * _TIMBRAL + 3 * _TEMPORAL
POOLED = 2 * (_FRONT_WIDTH + 3 * _MIDDLE)
_SEVEN_FRAMES = ((3, 3), (0, 0))
"""Zeros around time alone: every kernel of 7 frames stays within the bands."""
_IMAGES, _SEQUENCES = ("NHWC", "HWIO", "NHWC"), ("NWC", "WIO", "NWC")


# ---- Front end ----------------------------------------------------------------------------------------------------


def log_mel(filters: jax.Array, windows: jax.Array) -> jax.Array:
    """log10(1 + 10 000 mel power), the mel bank being ``filters`` (M, 257): windows (N, P) -> (N, T, M) float32.

    Frame k is seen through a Hann window around sample 256 (k + 1).
    """
    blocks = windows.reshape(windows.shape[0], FRAMES + 1, HOP)
    frames = jnp.concatenate([blocks[:, :-1], blocks[:, 1:]], axis=-1)
    hann = np.hanning(N_FFT + 1)[:-1].astype(np.float32)
    spectrum = jnp.fft.rfft(frames * hann)
    power = spectrum.real**2 + spectrum.imag**2
    # Bands are up to 1e5 apart: what accelerators make of a product by default would be their noise.
    bands = jnp.einsum("ntf,mf->ntm", power, filters, precision=jax.lax.Precision.HIGHEST)
    return jnp.log1p(10_000 * bands) / np.float32(np.log(10))


# ---- Network ------------------------------------------------------------------------------------------------------


def pooled(weights: Mapping[str, Any], mels: jax.Array) -> jax.Array:
    """Log-mels (N, T, M) -> each channel's maximum and mean over the frames (N, H), one beside the other."""
    x = _norm(weights["input"], mels[..., None])
    timbral = [_front(weights[f"front_{i}"], x, _SEVEN_FRAMES) for i in (0, 1)]
    temporal = [_front(weights[f"front_{i}"], x, "SAME") for i in (2, 3, 4)]
    front = jnp.concatenate([*timbral, *temporal], axis=-1)
    first = _middle(weights["middle_0"], front)
    second = _middle(weights["middle_1"], first) + first
    third = _middle(weights["middle_2"], second) + second
    features = jnp.concatenate([front, first, second, third], axis=-1)
    return jnp.stack([features.max(1), features.mean(1)], axis=-1).reshape(mels.shape[0], POOLED)


def penultimate(weights: Mapping[str, Any], pooled: jax.Array) -> jax.Array:
    """What the tags are told from: (N, H) -> (N, 200)."""
    x = _norm(weights["pooled"], pooled)
    return _norm(weights["dense"], jax.nn.relu(x @ weights["dense"]["kernel"] + weights["dense"]["bias"]))


def tag_logits(weights: Mapping[str, Any], pooled: jax.Array) -> jax.Array:
    """(N, H) -> the logits (N, 50) of :data:`TAGS`."""
    return penultimate(weights, pooled) @ weights["tags"]["kernel"] + weights["tags"]["bias"]


def tag_probabilities(weights: Mapping[str, Any], pooled: jax.Array) -> jax.Array:
    """(N, H) -> the probabilities (N, 50) of :data:`TAGS`, each tag by itself."""
    return expit(tag_logits(weights, pooled))


def _front(layer: Mapping[str, jax.Array], x: jax.Array, padding: Any) -> jax.Array:
    """Convolution, ReLU, batch norm and the maximum over all bands, in this order: (N, T, M, 1) -> (N, T, C).

    ReLU and batch norm keep the order of numbers or, by a negative scale, turn it. So the maximum may come first, of
    the negated convolution in the latter case, and the rest costs next to nothing.
    """
    sign = jnp.sign(layer["scale"])
    y = jax.lax.conv_general_dilated(x, layer["kernel"] * sign, (1, 1), padding, dimension_numbers=_IMAGES).max(2)
    return _norm(layer, jax.nn.relu(y * sign + layer["bias"]))


def _middle(layer: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    """Convolution of seven frames with all their channels, ReLU and batch norm: (N, T, C) -> (N, T, 64)."""
    y = jax.lax.conv_general_dilated(x, layer["kernel"][:, :, 0], (1,), ((3, 3),), dimension_numbers=_SEQUENCES)
    return _norm(layer, jax.nn.relu(y + layer["bias"]))


def _norm(layer: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
    """Batch norm by what training saw."""
    return x * layer["scale"] + layer["shift"]


# ---- Pretrained weights -------------------------------------------------------------------------------------------


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name


def _table() -> dict[str, tuple[str | None, str | None, tuple[int, ...]]]:
    """Our layer -> the checkpoint's names of its kernel and of the batch norm behind it, and the kernel's shape."""
    middle = ((7, _FRONT_WIDTH, 1, _MIDDLE), (7, _MIDDLE, 1, _MIDDLE), (7, _MIDDLE, 1, _MIDDLE))
    return {
        "input": (None, _NORM, (1,)),
        **{f"front_{i}": (_numbered(_CONV, i), _numbered(_NORM, i + 1), shape) for i, shape in enumerate(_FRONT)},
        **{f"middle_{i}": (_numbered(_CONV, i + 5), _numbered(_NORM, i + 6), s) for i, s in enumerate(middle)},
        "pooled": (None, _numbered(_NORM, 9), (POOLED,)),
        "dense": (_LINEAR, _numbered(_NORM, 10), (POOLED, _DENSE)),
        "tags": (_numbered(_LINEAR, 1), None, (_DENSE, len(TAGS))),
    }


WEIGHTS = _table()


def read_weights(tensors: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """The network's weights out of a checkpoint's ``tensors``, each batch norm as one scale and one shift.

    Raises:
        ValueError: it names everything that is missing, not finite or of another shape.
    """
    problems = []

    def take(name: str, shape: tuple[int, ...]) -> np.ndarray:
        value = tensors.get(name)
        if value is None:
            problems.append(f"{name} is missing")
        elif value.shape != shape:
            problems.append(f"{name} gives {value.shape}, not {shape}")
        elif not np.isfinite(value).all():
            problems.append(f"{name} is not finite")
        else:
            return value
        return np.ones(shape, np.float32)

    weights: dict[str, dict[str, np.ndarray]] = {}
    for layer, (kernel, norm, shape) in WEIGHTS.items():
        weights[layer] = {}
        if kernel is not None:
            weights[layer] |= {"kernel": take(f"{kernel}/kernel", shape), "bias": take(f"{kernel}/bias", shape[-1:])}
        if norm is not None:
            gamma, beta, mean, variance = (
                take(f"{norm}/{part}", shape[-1:]).astype(np.float64)
                for part in ("gamma", "beta", "moving_mean", "moving_variance")
            )
            scale = gamma / np.sqrt(variance + _EPSILON)
            shift = beta - mean * scale
            weights[layer] |= {"scale": scale.astype(np.float32), "shift": shift.astype(np.float32)}
    if problems:
        raise ValueError("; ".join(problems))
    return weights


def encoder(tensors: Mapping[str, np.ndarray], filters: np.ndarray, digest: str) -> AudioEncoder:
    """The encoder whose tokens are :func:`pooled` and :func:`penultimate`, one behind the other (H = 1706), one token a
    window of 3 s; windows lie edge to edge as in the package.

    Args:
        tensors: as :func:`read_weights` has them; so are the errors.
        filters: Slaney's mel bank (M, 257) for 16 kHz and an FFT of 512.
        digest: sha256 of the weights' file.
    """
    weights = read_weights(tensors)
    return AudioEncoder(
        name="musicnn",
        rate=RATE,
        window=(FRAMES + 1) * HOP,
        hop=FRAMES * HOP,
        lead=HOP,
        tokens=1,
        width=POOLED + _DENSE,
        licence="ISC",
        source="https://pypi.org/project/musicnn/0.1.0/ (MSD_musicnn)",
        digest=digest,
        weights={**weights, "filters": np.asarray(filters, np.float32)},
        apply=_tokens,
        tags=Tags(TAGS, np.concatenate([np.zeros((POOLED, len(TAGS)), np.float32), weights["tags"]["kernel"]])),
    )


def _tokens(weights: Mapping[str, Any], windows: jax.Array) -> jax.Array:
    found = pooled(weights, log_mel(weights["filters"], windows))
    return jnp.concatenate([found, penultimate(weights, found)], axis=-1)[:, None]
