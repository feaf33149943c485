"""Your own catalogue of some hundred songs on a CPU: what musicnn hears and MiniLM reads, under the paper's parts.

    mgc-jax prepare --config manifest --source my_songs.csv --out data
    mgc-jax train --config manifest --data data --workdir run

Both encoders are pretrained and frozen, and run once, in ``prepare``. What lies above them is small, with much dropout.
Beside them a logistic regression on the same outputs, the wide path, has most of the say; ``manifest:paper`` has none.
``manifest:small`` has a concatenation and a linear layer in the place of the cross-attention and the genre graph, and
no A-L loss, and no wide path either: docs/results/real-songs.md compares them on real songs.
"""

from ml_collections import ConfigDict

PARTS = {
    "wide": {"model": {"wide": 0.8, "wide_tags": 0.5}},
    "paper": {},
    "small": {"model": {"fusion": "concat", "head": "linear"}, "loss": {"contrastive_weight": 0.0}},
}


def get_config(parts: str = "wide") -> ConfigDict:
    """What differs from the defaults, with the ``parts`` of the model: ``paper`` or ``small``."""
    if parts not in PARTS:
        raise ValueError(f"there is no recipe {parts!r}: choose {', '.join(PARTS)}")
    recipe = ConfigDict(
        {
            "data": {"min_genre_tracks": 10},
            "audio": {"input": "features", "encoder": "musicnn", "sample_rate": 16_000},
            "lyrics": {"encoder": "minilm", "max_tokens": 128, "input": "features"},
            "model": {"width": 128, "heads": 4, "gcn_hidden": 256, "dropout": 0.5},
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
    recipe.update(PARTS[parts])
    return recipe
