"""Metrics: rows of means, and a stop that names the metric and the steps."""

import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.training.metrics import MetricWindow, WeightedMeans, to_floats
from volhuman.training.stop import Diverged


class _Rows:
    def __init__(self, log_every):
        self.rows = []
        write = lambda step, means: self.rows.append((step, means))
        self.window = MetricWindow(log_every, write, last_saved=lambda: 2)


def _values(step):
    return {"loss": jnp.float32(step), "accuracy": jnp.float32(step % 2)}


def test_rows_are_means_over_their_steps():
    rows = _Rows(4)
    for step in range(1, 11):
        rows.window.add(step, _values(step))
    rows.window.flush()
    assert rows.rows == [
        (4, {"loss": 2.5, "accuracy": 0.5}),
        (8, {"loss": 6.5, "accuracy": 0.5}),
    ]


def test_a_row_waits_for_the_next_step_or_a_flush():
    """So that the host does not wait for a step that has just begun."""
    rows = _Rows(2)
    rows.window.add(1, _values(1))
    rows.window.add(2, _values(2))
    assert rows.rows == []
    rows.window.flush()
    rows.window.flush()
    assert [step for step, _ in rows.rows] == [2]


def test_a_state_continues_a_row_that_is_not_full():
    straight, first, second = _Rows(5), _Rows(5), _Rows(5)
    values = np.random.default_rng(0).normal(size=5).astype(np.float32)
    for step, value in enumerate(values, 1):
        straight.window.add(step, {"loss": value})
        (first if step <= 3 else second).window.add(step, {"loss": value})
        if step == 3:
            first.window.flush()
            second.window.set_state(first.window.get_state())
    straight.window.flush()
    second.window.flush()
    assert second.rows == straight.rows and len(second.rows) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_stops(value):
    rows = _Rows(10)
    rows.window.add(4, _values(4))
    rows.window.add(5, {"loss": jnp.float32(value), "accuracy": jnp.float32(0)})
    with pytest.raises(Diverged, match=rf"loss is {value} at step 5, .*steps 3 to 5"):
        rows.window.add(6, _values(6))


def test_other_names_or_shapes_are_refused():
    rows = _Rows(10)
    rows.window.add(1, _values(1))
    rows.window.add(2, {"loss": jnp.float32(1)})
    with pytest.raises(ValueError, match=r"step 2 has the metrics \['loss'\]"):
        rows.window.flush()
    with pytest.raises(ValueError, match=r"loss has the shape \(3,\)"):
        to_floats({"loss": jnp.zeros(3)})


def test_means_over_batches_are_weighted_by_their_sizes():
    values = np.random.default_rng(0).normal(size=23)
    parts = np.split(values, [8, 16])
    means, others = WeightedMeans(), WeightedMeans()
    for part in parts[:2]:
        means.add({"error": part.mean()}, len(part))
    others.add({"error": parts[2].mean()}, len(parts[2]))
    means.merge([means.parts(), others.parts()])
    assert means.means() == {"error": pytest.approx(values.mean(), rel=1e-12)}
