"""Optimisers: Adam by its definition, schedules at their ends, averages, types."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.training.optimizer import (
    SCHEDULES,
    adam,
    cast_compute,
    exponential_moving_average,
    learning_rate_schedule,
)

PEAK, STEPS, WARMUP, END = 0.5, 40, 8, 0.01


def _gradients(count):
    generator = np.random.default_rng(0)
    return [{"w": generator.normal(size=3), "b": generator.normal()} for _ in range(4)][
        :count
    ]


def _apply(optimizer, params, gradients):
    state = optimizer.init(params)
    for gradient in gradients:
        gradient = jax.tree.map(jnp.float32, gradient)
        updates, state = optimizer.update(gradient, state, params)
        params = jax.tree.map(jnp.add, params, updates)
    return params


def _adam_by_hand(params, gradients, *, rate, decay, clip):
    """Kingma and Ba's algorithm 1, decoupled decay, and clipping of the whole norm."""
    mean, square = ({name: 0 * p for name, p in params.items()} for _ in range(2))
    for number, gradient in enumerate(gradients, 1):
        norm = np.sqrt(sum((np.asarray(g) ** 2).sum() for g in gradient.values()))
        scale = min(1, clip / norm)
        for name in params:
            g = gradient[name] * scale
            mean[name] = 0.9 * mean[name] + 0.1 * g
            square[name] = 0.999 * square[name] + 0.001 * g**2
            direction = (mean[name] / (1 - 0.9**number)) / (
                np.sqrt(square[name] / (1 - 0.999**number)) + 1e-8
            )
            params[name] = params[name] - rate * (direction + decay * params[name])
    return params


@pytest.mark.parametrize("decay, clip", [(0.0, np.inf), (0.1, np.inf), (0.1, 1.0)])
def test_adam_is_the_algorithm_of_its_paper(decay, clip):
    start = {"w": np.array([1.0, -2.0, 3.0]), "b": np.float64(0.5)}
    optimizer = adam(0.1, weight_decay=decay, clip_norm=0 if clip == np.inf else clip)
    found = _apply(optimizer, jax.tree.map(jnp.float32, start), _gradients(4))
    wanted = _adam_by_hand(dict(start), _gradients(4), rate=0.1, decay=decay, clip=clip)
    for name in start:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-5)


def test_accumulation_averages_gradients_and_clips_after_it():
    start = {"w": jnp.zeros(3), "b": jnp.zeros(())}
    gradients = _gradients(4)
    means = [
        jax.tree.map(lambda a, b: (a + b) / 2, *gradients[i : i + 2]) for i in (0, 2)
    ]
    found = _apply(adam(0.1, clip_norm=0.3, accumulate=2), start, gradients)
    wanted = _apply(adam(0.1, clip_norm=0.3), start, means)
    for name in start:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-5)
    half = _apply(adam(0.1, accumulate=2), start, gradients[:1])
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(half))


# -- schedules


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_rises_to_the_peak_and_falls_to_the_end(name):
    schedule = learning_rate_schedule(name, PEAK, steps=STEPS, warmup=WARMUP, end=END)
    rates = np.array([schedule(step) for step in range(2 * STEPS)])
    np.testing.assert_allclose(rates[: WARMUP + 1], PEAK * np.arange(9) / WARMUP, 1e-5)
    assert (np.diff(rates[WARMUP:]) <= 1e-7).all()
    wanted = PEAK if name == "constant" else END
    np.testing.assert_allclose(rates[STEPS:], wanted, rtol=1e-4)
    half = {
        "constant": PEAK,
        "linear": (PEAK + END) / 2,
        "cosine": (PEAK + END) / 2,
        "exponential": np.sqrt(PEAK * END),
    }[name]
    np.testing.assert_allclose(rates[(STEPS + WARMUP) // 2], half, rtol=1e-4)


def test_an_accumulated_schedule_ends_at_the_same_step_of_the_training():
    options = {"steps": STEPS, "warmup": WARMUP, "end": END}
    plain = learning_rate_schedule("linear", PEAK, **options)
    quarter = learning_rate_schedule("linear", PEAK, accumulate=4, **options)
    for step in range(0, STEPS, 4):
        np.testing.assert_allclose(quarter(step // 4), plain(step), rtol=1e-5)


@pytest.mark.parametrize(
    "name, changes, words",
    [
        ("cosin", {}, "name is 'cosin', expected one of constant, linear"),
        ("cosine", {"warmup": 10}, "warmup is 10, expected 0 to 9"),
        ("linear", {"end": 2.0}, "end is 2.0"),
        ("exponential", {}, "end is 0.0"),
        ("constant", {"accumulate": 0}, "accumulate is 0"),
    ],
)
def test_impossible_schedules_are_refused(name, changes, words):
    with pytest.raises(ValueError, match=words):
        learning_rate_schedule(name, 1.0, **{"steps": 10} | changes)


# -- averages and types


def test_an_average_is_the_weighted_sum_of_all_parameters(variant):
    values = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    average = {"w": jnp.asarray(values[0])}
    move = variant(lambda a, p: exponential_moving_average(a, p, decay=0.8))
    for value in values[1:]:
        average = move(average, {"w": jnp.asarray(value)})
    weights = np.array([0.8**5] + [0.2 * 0.8 ** (5 - n) for n in range(1, 6)])
    assert abs(weights.sum() - 1) < 1e-12
    np.testing.assert_allclose(average["w"], weights @ values, rtol=1e-5, atol=1e-6)


def test_an_average_with_steps_soon_forgets_its_start():
    average = forgetful = jnp.asarray(100.0)
    for step in range(50):
        average = exponential_moving_average(average, jnp.ones(()), decay=0.999)
        forgetful = exponential_moving_average(
            forgetful, jnp.ones(()), decay=0.999, step=jnp.asarray(step)
        )
    assert average > 90 and abs(forgetful - 1) < 0.01
    late = exponential_moving_average(0.0, 1.0, decay=0.999, step=jnp.asarray(10**6))
    np.testing.assert_allclose(late, 0.001, rtol=1e-3)


def test_a_decay_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"decay is 1\.0"):
        exponential_moving_average(0.0, 1.0, decay=1.0)


def test_only_floating_arrays_are_cast(key):
    tree = {
        "w": jnp.ones(2),
        "n": jnp.arange(2),
        "key": key,
        "flag": jnp.array([True]),
        "numpy": np.ones(2, np.float32),
    }
    cast = cast_compute(tree, "bfloat16")
    assert cast["w"].dtype == cast["numpy"].dtype == jnp.bfloat16
    for name in ("n", "key", "flag"):
        assert cast[name] is tree[name]
    with pytest.raises(ValueError, match="dtype is 'int8'"):
        cast_compute(tree, "int8")


def test_gradients_through_a_cast_are_float32():
    def loss(w):
        return (cast_compute(w, "bfloat16") * 3).sum().astype(jnp.float32)

    gradient = jax.grad(loss)(jnp.ones(4))
    assert gradient.dtype == jnp.float32
    np.testing.assert_allclose(gradient, 3)
