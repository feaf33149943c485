import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline import order
from data_pipeline.errors import InputError


@given(st.integers(1, 60), st.data(), st.integers(0, 2**63 - 1), st.integers(0, 5))
def test_an_epoch_visits_no_track_twice(num_examples, data, seed, epoch):
    batch_size = data.draw(st.integers(1, num_examples))
    steps = order.steps_per_epoch(num_examples, batch_size)
    first = epoch * steps
    visited = np.concatenate([order.batch_indices(num_examples, batch_size, seed, first + i) for i in range(steps)])
    assert len(visited) == steps * batch_size
    assert len(set(visited.tolist())) == len(visited)
    assert visited.min() >= 0
    assert visited.max() < num_examples
    again = order.batch_indices(num_examples, batch_size, seed, first)
    assert (visited[:batch_size] == again).all()


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
    first, second = (order.batch_indices(100, 99, 0, step) for step in (0, 1))
    assert (first != second).any()
    assert set(first.tolist()) != set(second.tolist())
    assert (first != order.batch_indices(100, 99, 1, 0)).any()


def test_the_order_is_pinned():
    assert order.batch_indices(10, 5, 42, 3).tolist() == [3, 5, 0, 2, 6]
    assert order.batch_indices(10, 5, 0, 0).dtype == np.int32


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
        order.batch_indices(10, 2, 0, -1)
