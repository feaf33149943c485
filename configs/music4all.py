"""The paper's recipe on Music4All: English tracks with nothing missing, bert-base, batch 16, lambda 0.3.

    mgc-jax prepare --config configs/music4all.py --source music4all --out data/music4all
    mgc-jax train --config configs/music4all.py --data data/music4all --workdir runs/music4all

The paper reports accuracy (Jaccard) .456 and F-measure .534. Cost and score of this recipe: not measured yet, the
corpus is not in our reach. ``min_genre_tracks=400`` stands for the unpublished list of 87 genres.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """What differs from the defaults of mgc_jax/config.py."""
    return ConfigDict(
        {
            "data": {"languages": ["en"], "require_lyrics": True, "min_genre_tracks": 400},
            "lyrics": {"encoder": "google-bert/bert-base-uncased", "max_tokens": 512},
        }
    )
