"""How long the host waits for batches is told."""

import pytest

from mgc_jax.config import recipes
from mgc_jax.training import feed


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


def test_the_last_batches_do_not_wait_for_the_readers_end(monkeypatch):
    ended = []

    class Data:
        def train_batches(self, num_steps, **_):
            try:
                yield from range(num_steps)
            finally:
                ended.append(True)

    monkeypatch.setattr(feed.sharding, "place_batch", lambda batch, mesh: batch)
    given = feed.streamed(recipes.load(None, []), Data(), None, start=2, total=7)
    for batch in range(5):
        assert next(given).arrays == batch
        assert not ended
    assert next(given, None) is None
    assert ended
