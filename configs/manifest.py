"""Your own catalogue on a machine without an accelerator: 30 s clips, the narrow audio CNN and MiniLM.

mgc-jax prepare --config manifest --source my_songs.csv --out data
mgc-jax train --config manifest --data data --workdir run

On a GPU set model.audio_preset=paper and model.width=512, and a larger encoder if you have one.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """What differs from the defaults of mgc_jax/config.py."""
    return ConfigDict(
        {
            "data": {"min_genre_tracks": 10},
            "lyrics": {"encoder": "minilm", "max_tokens": 128, "input": "features"},
            "model": {"audio_preset": "narrow", "width": 128, "heads": 4, "gcn_hidden": 256},
            "train": {"epochs": 20, "learning_rate": 1e-3, "warmup_steps": 50, "halve_every_epochs": 6},
        }
    )
