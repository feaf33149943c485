"""Your own catalogue of some hundred songs on a CPU: what musicnn hears and MiniLM reads, under a small head.

    mgc-jax prepare --config manifest --source my_songs.csv --out data
    mgc-jax train --config manifest --data data --workdir run

Both encoders are pretrained and frozen, and run once, in ``prepare``. Fusion is a concatenation, genres are told apart
by a linear layer and there is no A-L loss: on hundreds of real songs this was better than the paper's parts, which
``manifest:paper`` puts in their place (docs/results/real-songs.md has the figures).
"""

from ml_collections import ConfigDict

SMALL = {"fusion": "concat", "head": "linear"}


def get_config(parts: str = "small") -> ConfigDict:
    """What differs from the defaults, with ``parts`` of the model: ``small`` or ``paper``."""
    if parts not in ("small", "paper"):
        raise ValueError(f"there is no recipe {parts!r}: choose small or paper")
    small = parts == "small"
    return ConfigDict(
        {
            "data": {"min_genre_tracks": 10},
            "audio": {"input": "features", "encoder": "musicnn", "sample_rate": 16_000},
            "lyrics": {"encoder": "minilm", "max_tokens": 128, "input": "features"},
            "model": {"width": 128, "heads": 4, "gcn_hidden": 256, "dropout": 0.5, **(SMALL if small else {})},
            "loss": {"contrastive_weight": 0.0 if small else 0.3},
            "train": {
                "epochs": 20,
                "learning_rate": 1e-3,
                "warmup_steps": 50,
                "halve_every_epochs": 6,
                "evaluate_every_epochs": 5,
                "patience": 0,  # a few dozen songs do not tell one epoch from the next
            },
        }
    )
