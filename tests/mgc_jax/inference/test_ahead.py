"""Worker processes ahead of whoever takes their results: in order, bounded, and one that ends costs one item."""

import os
import signal

import pytest

from mgc_jax.inference import ahead


def double(number):
    return 2 * number


def fatal(number):
    if number % 4 == 1:
        os.kill(os.getpid(), signal.SIGKILL)  # as a decoder that crashes, or a system without memory
    return 2 * number


def wrong(number):
    raise ValueError(number)


def test_results_come_in_order_and_a_few_are_ahead():
    taken = []

    def items():
        for number in range(12):
            taken.append(number)
            yield number

    found = ahead.in_order(double, items(), 2)
    assert next(found) == (0, 0)
    assert len(taken) <= 2 * ahead.PER_PROCESS + 1
    assert list(found) == [(number, 2 * number) for number in range(1, 12)]


def test_a_process_that_ends_costs_its_item_alone():
    found = list(ahead.in_order(fatal, range(7), 2))
    assert [item for item, _ in found] == list(range(7))
    assert [isinstance(result, ahead.Ended) for _, result in found] == [False, True, False, False, False, True, False]
    assert [result for _, result in found if not isinstance(result, ahead.Ended)] == [0, 4, 6, 8, 12]


def test_what_raises_in_a_job_raises_here():
    with pytest.raises(ValueError, match="3"):
        next(ahead.in_order(wrong, [3], 1))


def block(path):
    with open(path, "rb") as pipe:
        return pipe.read()


def test_nobody_waits_for_what_is_not_wanted(tmp_path, monkeypatch):
    monkeypatch.setattr(ahead, "GRACE_SECONDS", 0.2)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"la")
    found = ahead.in_order(block, [tmp_path / "file", tmp_path / "pipe"], 2)
    assert next(found) == (tmp_path / "file", b"la")
    found.close()  # while a worker waits for somebody to write
