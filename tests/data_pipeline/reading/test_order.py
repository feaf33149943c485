import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.errors import InputError
from data_pipeline.reading import order


@given(st.integers(1, 60), st.data(), st.integers(0, 2**63 - 1), st.integers(0, 5))
def test_an_epoch_visits_no_track_twice(num_examples, data, seed, epoch):
    batch_size = data.draw(st.integers(1, num_examples))
    bucket = data.draw(st.integers(0, 9))
    lengths = np.array(data.draw(st.lists(st.integers(0, 30), min_size=num_examples, max_size=num_examples)))
    batches = order.TrainingOrder(num_examples, batch_size, seed, lengths, bucket)
    steps = num_examples // batch_size
    first = epoch * steps
    visited = np.concatenate([batches.indices(first + i) for i in range(steps)])
    assert len(visited) == steps * batch_size
    assert len(set(visited.tolist())) == len(visited)
    assert visited.min() >= 0
    assert visited.max() < num_examples
    again = order.TrainingOrder(num_examples, batch_size, seed, lengths, bucket).indices(first)
    assert (visited[:batch_size] == again).all()
    for step in range(first, first + steps):
        longest, length = lengths[batches.indices(step)].max(), batches.length(step)
        assert (
            length is None
            if bucket == 0
            else length % bucket == 0 and max(longest, 1) <= length < max(longest, 1) + bucket
        )


def test_lyrics_of_like_length_share_a_batch():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 513, 6400)
    lengths[rng.random(6400) < 0.2] = 0
    batches = order.TrainingOrder(6400, 64, 3, lengths, 64)
    assert np.mean([batches.length(step) for step in range(100)]) < 0.57 * 512  # without buckets 1, at best .5625
    empty = [(lengths[batches.indices(step)] == 0).mean() for step in range(100)]
    assert min(empty) > 0.02
    assert max(empty) < 0.45
    needs = [batches.length(step) for step in range(100)]
    assert needs != sorted(needs)
    assert needs != [batches.length(step) for step in range(100, 200)]
    plain = order.TrainingOrder(6400, 64, 3)
    kept = np.sort(np.concatenate([batches.indices(step) for step in range(100)]))
    assert kept.tolist() == np.sort(np.concatenate([plain.indices(step) for step in range(100)])).tolist()
    assert order.TrainingOrder(8, 4, 0, np.zeros(8, int), 64).length(1) == 64  # nobody sings


@given(st.integers(1, 8), st.integers(1, 8))
def test_the_hosts_share_the_batch(share, num_hosts):
    rows = np.arange(share * num_hosts)
    parts = [rows[order.host_slice(len(rows), host, num_hosts)] for host in range(num_hosts)]
    assert np.concatenate(parts).tolist() == rows.tolist()
    assert {len(part) for part in parts} == {share}


@given(st.integers(0, 50), st.integers(1, 20))
def test_evaluation_visits_every_track_once(num_examples, batch_size):
    batches = order.evaluation_indices(num_examples, batch_size)
    assert all(len(batch) == batch_size for batch in batches)
    flat = [i for batch in batches for i in batch.tolist()]
    assert [i for i in flat if i >= 0] == list(range(num_examples))
    assert flat.count(-1) < batch_size


def test_epochs_and_seeds_differ_and_leave_out_other_tracks():
    first, second = (order.TrainingOrder(100, 99, 0).indices(step) for step in (0, 1))
    assert (first != second).any()
    assert set(first.tolist()) != set(second.tolist())
    assert (first != order.TrainingOrder(100, 99, 1).indices(0)).any()


def test_the_order_is_pinned():
    assert order.TrainingOrder(10, 5, 42).indices(3).tolist() == [3, 5, 0, 2, 6]
    assert order.TrainingOrder(10, 5, 0).indices(0).dtype == np.int32


def test_impossible_requests_are_said():
    with pytest.raises(InputError, match="larger than"):
        order.steps_per_epoch(3, 4)
    with pytest.raises(InputError, match="at least 1"):
        order.steps_per_epoch(3, 0)
    with pytest.raises(InputError, match="divided"):
        order.host_slice(5, 0, 2)
    with pytest.raises(InputError, match="host"):
        order.host_slice(4, 2, 2)
    with pytest.raises(InputError, match="negative"):
        order.TrainingOrder(10, 2, 0).indices(-1)
