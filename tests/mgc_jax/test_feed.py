"""How long the host waits for batches is told."""

import pytest

from mgc_jax import feed


def test_waiting_is_counted_and_working_is_not(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(feed.time, "monotonic", lambda: clock[0])

    def slow_batches():
        for batch in range(3):
            clock[0] += 0.25
            yield batch

    batches = feed.Timed(slow_batches())
    for batch in batches:
        clock[0] += 1.0  # the step
        assert batches.seconds == pytest.approx(0.25 * (batch + 1))
    assert batches.seconds == pytest.approx(0.75)
