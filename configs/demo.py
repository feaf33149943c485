"""The demo: a generated corpus of 6 s clips, the narrow audio CNN and MiniLM, on two CPU cores in minutes.

make demo
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """What differs from the defaults."""
    return ConfigDict(
        {
            "data": {"min_genre_tracks": 8},
            "audio": {"seconds": 6.0, "n_mels": 80, "hop_length": 1024},
            "lyrics": {"encoder": "minilm", "max_tokens": 64, "input": "features"},
            "model": {"audio_preset": "narrow", "width": 128, "heads": 4, "baseline_width": 0.25},
            "train": {
                "epochs": 5,
                "learning_rate": 1e-3,
                "warmup_steps": 40,
                "halve_every_epochs": 2,
                "weight_decay": 0.05,
            },
        }
    )
