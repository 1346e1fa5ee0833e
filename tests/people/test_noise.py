"""Noise: range, smoothness, period, independence of seeds, and pinned values."""

import numpy as np
import pytest

from volhuman.people.noise import fractal_noise, noise, ridges, smoothstep

PERIOD = 32


@pytest.fixture
def points():
    return np.random.default_rng(0).uniform(-100, 100, (20_000, 3))


def test_values_fill_the_range_and_do_not_leave_it(points):
    values = noise(points, seed=4)
    assert values.shape == (len(points),) and values.dtype == np.float64
    assert -1 <= values.min() < -0.8 and 0.8 < values.max() <= 1
    assert abs(values.mean()) < 0.02
    # Eight lattice values are blended; lattice points themselves are even in [-1, 1].
    lattice = noise(np.floor(points), seed=4)
    assert np.quantile(lattice, [0.25, 0.5, 0.75]) == pytest.approx(
        [-0.5, 0, 0.5], abs=0.03
    )


def test_the_middle_of_a_cell_is_the_mean_of_its_corners(points):
    cell = np.floor(points)
    corners = [noise(cell + np.array(step), seed=9) for step in np.ndindex(2, 2, 2)]
    np.testing.assert_allclose(
        noise(cell + 0.5, seed=9), np.mean(corners, axis=0), atol=1e-12
    )


def test_value_and_first_derivative_are_continuous(points):
    """Across lattice planes too, where a wrong blend would jump."""
    on_plane = points.copy()
    on_plane[:, 0] = np.round(on_plane[:, 0])
    step = 1e-5
    for axis in np.eye(3):
        low, middle, high = (
            noise(on_plane + side * step * axis) for side in (-1, 0, 1)
        )
        # A value blended by smoothstep between -1 and 1 rises by at most 3 a cell.
        assert np.abs(high - low).max() < 3.01 * 2 * step
        jump = (high - middle) / step - (middle - low) / step
        assert np.abs(jump).max() < 15 * step + 1e-6


def test_noise_repeats_after_32_cells_and_not_before(points):
    for axis in np.eye(3):
        np.testing.assert_allclose(
            noise(points + PERIOD * axis), noise(points), atol=1e-11
        )
        half = noise(points + PERIOD / 2 * axis)
        assert abs(np.corrcoef(half, noise(points))[0, 1]) < 0.1


def test_seeds_give_unrelated_noises(points):
    values = np.array([noise(points, seed=seed) for seed in range(40)])
    correlation = np.abs(np.corrcoef(values) - np.eye(40))
    assert np.median(correlation) < 0.02
    assert correlation.max() < 0.1
    np.testing.assert_array_equal(noise(points, seed=7), values[7])


def test_each_point_is_evaluated_alone(points):
    order = np.random.default_rng(1).permutation(len(points))
    np.testing.assert_array_equal(noise(points)[order], noise(points[order]))
    np.testing.assert_array_equal(noise(points)[:1], noise(points[:1]))
    assert noise(points[:0]).shape == (0,)


def test_octaves_add_details_of_half_the_height(points):
    expected = (
        noise(points, seed=5)
        + noise(2 * points, seed=6) / 2
        + noise(4 * points, seed=7) / 4
    )
    values = fractal_noise(points, octaves=3, seed=5)
    np.testing.assert_allclose(values, expected, atol=1e-12)
    assert 1 < np.abs(values).max() < 2
    np.testing.assert_array_equal(
        fractal_noise(points, octaves=1, seed=5), noise(points, seed=5)
    )


def test_ridges_have_their_crest_where_noise_crosses_zero(points):
    values, height = ridges(points, seed=2), noise(points, seed=2)
    assert 0 <= values.min() < 0.01 and 0.999 < values.max() <= 1
    assert (np.diff(values[np.argsort(np.abs(height))]) <= 1e-12).all()


def test_smoothstep_rises_flat_at_both_ends():
    x = np.linspace(-0.5, 1.5, 2001)
    value = smoothstep(x)
    assert (value[x <= 0] == 0).all() and (value[x >= 1] == 1).all()
    slope = np.gradient(value, x)
    assert slope.min() > -1e-9 and slope.max() == pytest.approx(1.5, abs=1e-3)
    assert np.abs(np.diff(slope)).max() < 0.01
    np.testing.assert_allclose(value + smoothstep(1 - x), 1, atol=1e-12)


def test_smoothstep_takes_ends_point_by_point_and_falls_when_they_are_exchanged():
    x, low = np.full(3, 2.0), np.array([1.0, 2.0, 0.0])
    np.testing.assert_allclose(smoothstep(x, low, low + 2), [0.5, 0, 1])
    np.testing.assert_allclose(smoothstep(np.array([0.0, 1, 2]), 2, 0), [1, 0.5, 0])


# Evaluated once; any machine must give the same noise for the same people.
PINNED = {
    ("noise", 0): [
        -0.28831441198381885,
        0.49661036515729734,
        0.05158649343426924,
        0.04415709567578452,
    ],
    ("noise", 123456): [
        0.15182608190214048,
        0.28602851496240633,
        0.5155369524201419,
        0.4178672349891617,
    ],
    ("fractal", 0): [
        -0.2671613760472372,
        0.40709706005490637,
        0.4360559010800199,
        0.12101937292888088,
    ],
    ("ridges", 0): [
        0.5064963761899376,
        0.2534011244670696,
        0.8994881794363054,
        0.9136356577469513,
    ],
}


def test_values_are_the_same_on_every_machine():
    places = np.array(
        [[0.5, 0.25, 0.75], [-3.2, 17.9, 100.1], [31.99, -0.01, 0], [1e3, -1e3, 12.5]]
    )
    for (name, seed), expected in PINNED.items():
        function = {"noise": noise, "fractal": fractal_noise, "ridges": ridges}[name]
        np.testing.assert_allclose(
            function(places, seed=seed), expected, rtol=0, atol=1e-13
        )
