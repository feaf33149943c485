"""What the stored outputs of each pretrained audio encoder take, and what a training step on them computes.

    python scripts/audio_storage.py

By arithmetic, from shapes: clips of 30 s, float16, the paper's heads (width 512) with stored lyric features. The
spectrogram's row is the paper's CNN from scratch.
"""

from __future__ import annotations

import argparse
import math

from mgc_jax.benchmark import flops, workload
from mgc_jax.config import recipes

TRACKS, GENRES, BATCH = 109_269, 87, 64
HEAD = ("audio.encoder", "a track", "kB a track", f"GB for {TRACKS:,} tracks".replace(",", " "), "GFLOP a track")


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(table())


def table() -> str:
    """In Markdown, a row for spectrograms and one for each encoder."""
    rows = [HEAD, ("---",) * len(HEAD), row("spectrogram", "audio.input=spectrogram")]
    rows += [
        row(name, "audio.input=features", f"audio.encoder={name}", f"audio.sample_rate={windows.rate}")
        for name, windows in workload.AUDIO_ENCODERS.items()
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def row(name: str, *settings: str) -> tuple[str, ...]:
    """Of one encoder, or of spectrograms."""
    config = recipes.load(None, [*settings, "lyrics.input=features", f"train.batch_size={BATCH}"])
    encoder = workload.ENCODERS[config.lyrics.encoder]
    features = workload.audio_shape(config)
    shape = features or (config.audio.num_frames, config.audio.n_mels)
    size = math.prod(shape) * (2 if features else 1)
    work = flops.training(config, encoder, GENRES, config.lyrics.max_tokens, features)
    kind = f"{shape[0]} x {shape[1]}, {'float16' if features else 'uint8'}"
    return name, kind, f"{size / 1e3:.0f}", f"{size * TRACKS / 1e9:.1f}", f"{sum(work.values()) / 1e9:.1f}"


if __name__ == "__main__":
    main()
