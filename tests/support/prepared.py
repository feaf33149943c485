"""What a prepared data set holds."""

import json

import numpy as np

from data_pipeline.reading.prepared_data import PreparedData
from data_pipeline.schema import SPLITS


def examples(out):
    """Every stored example by track id, without its place."""
    data = PreparedData(out)
    found = {}
    for split in SPLITS:
        ids = data.track_ids(split)
        for batch in data.evaluation_batches(split, batch_size=7):
            for row in np.flatnonzero(batch["weight"]):
                found[ids[batch["index"][row]]] = {name: values[row] for name, values in batch.items()}
    return found


def contents(out):
    """What each file of a data set holds, by its path within it; of the report all but how long it took."""
    found = {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    report = json.loads(found["report.json"])
    for name in ("timing", "tracks_per_second"):
        del report[name]
    return found | {"report.json": json.dumps(report).encode()}
