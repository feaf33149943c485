"""Several files of records read as one."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordWriter
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.reading.records import Records

SIZES = (3, 1, 40)


def content(number):
    return f"record {number} ".encode() * (1 + number % 7)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    number, found = 0, []
    for place, size in enumerate(SIZES):
        writer = ArrayRecordWriter(str(folder / f"{place}"), "group_size:1,uncompressed")
        for _ in range(size):
            writer.write(content(number))
            number += 1
        writer.close()
        found.append((folder / f"{place}", size))
    return found


@pytest.fixture(scope="module")
def records(shards):
    return Records(shards)


@given(index=st.lists(st.integers(0, sum(SIZES) - 1), max_size=60))
def test_records_come_in_the_order_asked_for(records, index):
    assert len(records) == sum(SIZES)
    assert records.read(np.array(index, np.int32)) == [content(number) for number in index]


def test_several_threads_read_at_once(records):
    rng = np.random.default_rng(0)
    wanted = [rng.integers(0, sum(SIZES), 50) for _ in range(64)]
    with ThreadPoolExecutor(8) as pool:
        for index, found in zip(wanted, pool.map(records.read, wanted), strict=True):
            assert found == [content(number) for number in index]


@pytest.mark.parametrize("index", [[-1], [0, sum(SIZES)]])
def test_what_there_is_not_is_refused(records, index):
    with pytest.raises(IndexError):
        records.read(np.array(index))


def test_files_that_hold_something_else_are_refused(shards, tmp_path):
    with pytest.raises(ValueError, match="0 does not hold 2 records"):
        Records([(shards[0][0], 2)])
    (tmp_path / "noise").write_bytes(bytes(range(256)) * 1000)
    with pytest.raises(ValueError, match="noise does not hold 3 records"):
        Records([(tmp_path / "noise", 3)])
