"""Files that grow: what a kill cuts, what a full disk leaves, and rows that numpy reads."""

from __future__ import annotations

import csv
import errno
import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.errors import InputError
from data_pipeline.storage.growing import GrowingArray, GrowingFile

CELLS = st.lists(st.text(st.sampled_from('a,"\n\r é\u2028'), max_size=4), min_size=2, max_size=2)


def row(cells) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow(cells)
    return text.getvalue().encode()


@given(st.lists(CELLS, max_size=5), st.integers(0))
def test_wherever_a_table_is_cut_its_whole_rows_stay(rows, end):
    with tempfile.TemporaryDirectory() as folder:
        path, header, written = Path(folder, "a.csv"), row(["x", "y"]), [row(cells) for cells in rows]
        file = GrowingFile(path, header=header, quoted=True)
        for one in written:
            file.append(one)
        file.close()
        whole = path.read_bytes()
        assert whole == header + b"".join(written)
        path.write_bytes(whole[: end % (len(whole) + 1)])
        file = GrowingFile(path, header=header, quoted=True)
        left = list(file.records())
        assert left == written[: len(left)]
        for one in written[len(left) :]:
            file.append(one)
        file.close()
        assert path.read_bytes() == whole


class Full:
    """A disk that takes three more bytes, and then none."""

    def __init__(self, file) -> None:
        self.file, self.left = file, 3

    def write(self, content) -> int:
        if not self.left:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = self.file.write(content[: self.left])
        self.left -= taken
        return taken

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_a_full_disk_leaves_nothing_of_a_line(tmp_path, monkeypatch):
    file = GrowingFile(tmp_path / "a.jsonl")
    file.append(b"one\n")
    monkeypatch.setattr(file, "_file", Full(file._file))
    with pytest.raises(InputError, match=r"a\.jsonl cannot be written \(No space left on device\)"):
        file.append(b"another\n")
    assert (tmp_path / "a.jsonl").read_bytes() == b"one\n"


def test_rows_are_counted_when_they_are_committed(tmp_path):
    path, rows = tmp_path / "a.npy", np.arange(15, dtype=np.float32).reshape(5, 3)
    array = GrowingArray(path, 3)
    for one in rows[:4]:
        array.append(one)
        array.commit()
    array.append(rows[4])
    np.testing.assert_array_equal(np.load(path), rows[:4])
    array.commit()
    array.close()
    np.testing.assert_array_equal(np.load(path, mmap_mode="r"), rows)
    again = GrowingArray(path, 3)
    assert again.rows == 5
    again.write(tmp_path / "b.npy", np.array([True, False, True, False, True]))
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), rows[::2])
    again.cut(2)
    np.testing.assert_array_equal(np.load(path), rows[:2])


@pytest.mark.parametrize("content", [np.zeros((2, 4), np.float32), np.zeros((2, 3)), np.zeros((1, 2, 3), np.float32)])
def test_an_array_of_something_else_is_left_alone(tmp_path, content):
    np.save(tmp_path / "a.npy", content)
    before = (tmp_path / "a.npy").read_bytes()
    with pytest.raises(InputError, match="holds no vectors of 3 numbers"):
        GrowingArray(tmp_path / "a.npy", 3)
    assert (tmp_path / "a.npy").read_bytes() == before


def test_a_file_that_is_no_array_is_left_alone(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"what somebody wrote" * 20)
    with pytest.raises(InputError, match="holds no vectors"):
        GrowingArray(tmp_path / "a.npy", 3)
