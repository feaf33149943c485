"""What the original musicnn makes of a generated sound: writes the file that the tests hold our own network against.

    python -m venv original
    original/bin/pip install tensorflow-cpu==2.21.0 tf_keras==2.21.0 librosa==0.11.0
    original/bin/pip install --no-deps musicnn==0.1.0
    export TF_USE_LEGACY_KERAS=1
    original/bin/python scripts/golden_musicnn.py tests/mgc_jax/models/musicnn_golden.npz

The package's own model code runs on its own weights. Of its front end the rounding to float16 is left out, in which
loud mel bands overflow.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

RATE = 16_000  # Hz
SECONDS = 7.0
FRAMES = 187
EVERY = {
    "mels": (slice(None), slice(None, None, 17), slice(None, None, 5)),
    "pooled": (slice(None), slice(None, None, 7)),
}
"""What is kept of the large arrays."""


def waveform() -> np.ndarray:
    """A loud chord with a beat, a sweep up to 8 kHz, noise and a second of digital silence: (n,) float32."""
    time = np.arange(int(SECONDS * RATE)) / RATE
    chord = sum(np.sin(2 * np.pi * hertz * time) / (1 + i) for i, hertz in enumerate((110, 220, 277.2, 329.6, 1760)))
    beat = np.exp(-12 * (time % 0.5))
    sweep = np.sin(2 * np.pi * (50 * time + 0.5 * (8000 - 50) / SECONDS * time**2))
    noise = np.random.default_rng(5).uniform(-1, 1, len(time))
    sound = 0.4 * chord * beat + 0.1 * sweep + 0.05 * noise * (time % 0.25 < 0.05)
    return np.where((time > 5) & (time < 6), 0, np.clip(sound, -1, 1)).astype(np.float32)


def main() -> None:
    """Write the file that is named."""
    import librosa
    import musicnn
    import tensorflow as tf
    from musicnn import configuration, models

    tf1: Any = tf.compat.v1
    tf1.disable_eager_execution()
    mels = librosa.feature.melspectrogram(
        y=waveform(),
        sr=RATE,
        hop_length=configuration.FFT_HOP,
        n_fft=configuration.FFT_SIZE,
        n_mels=configuration.N_MELS,
    ).T
    mels = np.log10(10000 * mels + 1).astype(np.float32)
    patches = np.stack([mels[i : i + FRAMES] for i in range(0, len(mels) - FRAMES + 1, FRAMES)])
    x = tf1.placeholder(tf.float32, [None, FRAMES, configuration.N_MELS])
    with tf1.name_scope("model"):
        outputs = models.define_model(x, False, "MSD_musicnn", len(configuration.MSD_LABELS))
    logits, *_, mean, maximum, penultimate = outputs
    with tf1.Session() as session:
        tf1.train.Saver().restore(session, f"{Path(musicnn.__file__).parent}/MSD_musicnn/")
        found = session.run([logits, mean, maximum, penultimate], {x: patches})
    logits, mean, maximum, penultimate = found
    golden = {
        "mels": patches,
        "pooled": np.stack([maximum, mean], axis=-1).reshape(len(patches), -1),
        "penultimate": penultimate,
        "logits": logits,
        "tags": np.array(configuration.MSD_LABELS),
    }
    np.savez_compressed(sys.argv[1], **{name: value[EVERY.get(name, ...)] for name, value in golden.items()})


if __name__ == "__main__":
    main()
