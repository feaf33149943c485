"""One shard written by whichever worker; TensorFlow is imported there alone."""

from __future__ import annotations

from data_pipeline.prepare.shards import Shape, Shard
from data_pipeline.storage.files import replacing


def write(shard: Shard, shape: Shape) -> None:
    """Writes one shard, without compression: spectrograms shrink by a few per cent only, and are read twice as fast."""
    from array_record.python.array_record_module import ArrayRecordWriter

    from data_pipeline.prepare.tfds_features import features, serialised

    stored = features(shape)
    with replacing(shard.path) as partial:
        writer = ArrayRecordWriter(str(partial), "group_size:1,uncompressed")
        for example in shard.part(shard.first, shard.last):
            writer.write(serialised(stored, example))
        writer.close()


def is_written(shard: Shard) -> bool:
    """Whether the whole shard is there."""
    return shard.path.is_file()
