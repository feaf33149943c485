"""Music4All in large batches on a pod, stored lyric features resident on the chips; the launchers in launch/ start it.

    mgc-jax prepare --config music4all --source music4all --out data/features --config.lyrics.input=features
    mgc-jax train --config pod:4096 --data data/features --workdir runs/pod

What stands behind the colon is the global batch: 128 tracks a chip on 32 chips are 4096. The learning rate grows with
the square root of the batch from the paper's 1e-4 at 16: the rule by which LAMB's authors went from 512 to 32 768, and
the one for Adam's normalised steps; ``train.optimiser=adamw`` takes the same rate. Warm-up is five epochs, counted in
Music4All's 30 555 training tracks: name ``train.warmup_steps`` for a corpus of another size.

Whether a batch fits, and what a step costs at least, is told before a pod is paid for:

    mgc-jax compile --config pod:4096 --topology v5e:4x8 --lyrics features

says 13.2 of a v5e's 14.9 GiB, beside which the resident split takes 0.8, and 60.7 ms.

Cost, by arithmetic and not measured: 128 tracks in 60.7 ms are 2 100 tracks/s a chip at the very most, 67 000 on 32
chips. 200 epochs are 6.1 million tracks: 91 s, 0.8 chip-hours, one dollar at an assumed list price of 1.20 USD a
chip-hour. Starting, compiling and validating will take longer than that, and are paid for alike.

Score: not measured. A large batch is seldom better than a small one for the same number of epochs: 1 400 steps here
replace the paper's 190 900, hence twice its epochs.
"""

from ml_collections import ConfigDict

TRACKS = 30_555
EPOCHS = 200
WARMUP_EPOCHS = 5


def get_config(batch_size: str = "4096") -> ConfigDict:
    """What differs from the defaults of mgc_jax/config.py; ``batch_size`` stands behind the colon of --config."""
    batch = int(batch_size)
    if batch < 1:
        raise ValueError(f"a batch of {batch} tracks; write for example pod:4096")
    return ConfigDict(
        {
            "data": {"languages": ["en"], "require_lyrics": True, "min_genre_tracks": 400},
            "lyrics": {"encoder": "google-bert/bert-base-uncased", "max_tokens": 512, "input": "features"},
            "train": {
                "batch_size": batch,
                "epochs": EPOCHS,
                "optimiser": "lamb",
                "learning_rate": 1e-4 * (batch / 16) ** 0.5,
                "warmup_steps": max(1, WARMUP_EPOCHS * TRACKS // batch),
                "halve_every_epochs": EPOCHS // 2,
                "evaluate_every_epochs": 5,
                "log_every_steps": 10,
            },
            "compute": {"placement": "device", "fsdp": False, "evaluation_batch_size": batch},
        }
    )
