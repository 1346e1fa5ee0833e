"""Fabrics: colours in range, stripes and dots where asked, each point by itself."""

import dataclasses

import numpy as np
import pytest

from volhuman.people.recipe import Pattern
from volhuman.people.surface import fine_body
from volhuman.people.textures import PATTERNS, cloth_coordinates, mix, paint

RED, GREEN, BLUE = (0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.8)


def fabric(kind, **changes):
    return dataclasses.replace(
        Pattern(kind, (RED, GREEN, BLUE), 20.0, 0.4, 5), **changes
    )


@pytest.fixture(scope="module")
def rest():
    """Points near the body and far from it."""
    generator = np.random.default_rng(0)
    near = fine_body().rest[::7]
    return np.concatenate([near, generator.uniform(-1, 1, (500, 3))])


def shares(kind, u, v, **changes):
    """How much of each colour is at cloth coordinates, `(N, 3)`, without the wear."""
    pattern = fabric(kind, **changes)
    colours = np.array(pattern.colours)
    rest = np.stack([u, v, 0 * u], axis=1)
    ground = np.tile(colours[0], (len(u), 1))
    painted = PATTERNS[kind](pattern, ground, rest, u, v)
    return np.linalg.solve(colours.T, painted.T).T


@pytest.mark.parametrize("on_leg", [False, True])
@pytest.mark.parametrize("kind", PATTERNS)
def test_colours_are_finite_and_in_range(rest, kind, on_leg):
    colour = paint(fabric(kind), rest, on_leg=on_leg)
    assert colour.shape == rest.shape
    assert np.isfinite(colour).all() and colour.min() >= 0 and colour.max() <= 1


@pytest.mark.parametrize("kind", PATTERNS)
def test_each_point_is_painted_by_itself(rest, kind):
    pattern = fabric(kind)
    order = np.random.default_rng(1).permutation(len(rest))
    colour = paint(pattern, rest)
    np.testing.assert_array_equal(paint(pattern, rest[order]), colour[order])
    np.testing.assert_array_equal(paint(pattern, rest[:3]), colour[:3])
    assert paint(pattern, rest[:0]).shape == (0, 3)


@pytest.mark.parametrize("kind", [kind for kind in PATTERNS if kind != "plain"])
def test_a_pattern_shows_more_than_the_ground(rest, kind):
    other = fabric("plain")
    difference = np.abs(paint(fabric(kind), rest) - paint(other, rest)).max(1)
    assert (difference > 0.05).mean() > 0.05
    if kind in ("dots", "blobs", "camouflage", "floral", "hstripe", "vstripe"):
        assert (difference < 0.05).mean() > 0.1, "the ground shows between"


@pytest.mark.parametrize("kind", PATTERNS)
def test_fabric_of_one_colour_shows_no_pattern(rest, kind):
    """Only wear, weave and, for melange, its fibres vary."""
    grey = fabric(kind, colours=((0.4,) * 3,) * 3)
    colour = paint(grey, rest)
    assert np.ptp(colour, axis=1).max() < 1e-12
    assert np.abs(colour - 0.4).max() < (0.25 if kind == "melange" else 0.1)


@pytest.mark.parametrize("kind, repeat", [("hstripe", 12.0), ("vstripe", 20.0)])
def test_stripes_repeat_and_take_their_share(kind, repeat):
    # A little off zero: where a repeat begins, rounding decides.
    t = np.linspace(0, 3 / repeat, 6000, endpoint=False) + 1e-6
    zero = 0 * t
    along = lambda values: (zero, values) if kind == "hstripe" else (values, zero)
    for duty in (0.25, 0.5):
        amount = shares(kind, *along(t), duty=duty)
        assert amount[:, 1].mean() == pytest.approx(duty, abs=0.05)
        np.testing.assert_allclose(amount.sum(1), 1, atol=1e-9)
        moved = shares(kind, *along(t + 1 / repeat), duty=duty)
        np.testing.assert_allclose(moved, amount, atol=1e-9)
        crossing = shares(kind, *along(zero), duty=duty)
        assert np.ptp(crossing, axis=0).max() < 1e-12


def test_dots_are_discs_of_the_second_colour_in_rows():
    u, v = (axis.reshape(-1) for axis in np.meshgrid(*[np.linspace(0, 0.5, 300)] * 2))
    amount = shares("dots", u, v)[:, 1]
    # A disc of radius 0.3 in a cell of side 1, with a soft border.
    assert amount.mean() == pytest.approx(np.pi * 0.3**2, abs=0.04)
    assert set(np.round(amount[(amount < 1e-9) | (amount > 1 - 1e-9)])) == {0, 1}


def test_plaid_is_woven_alike_both_ways():
    u, v = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 2000))
    one, other = shares("plaid", u, v), shares("plaid", v, u)
    assert one.min() > -1e-9
    assert np.abs(one.mean(0) - other.mean(0)).max() < 0.02
    assert np.abs(one - other).max() > 0.1, "but the threads lie over each other"


def test_blocks_and_gradients_change_from_top_to_bottom():
    v = np.linspace(-0.2, 0.6, 200)
    for kind in ("blocks", "gradient"):
        amount = shares(kind, 0 * v, v)[:, 1]
        assert amount[0] == 0 and amount[-1] == pytest.approx(1)
        assert (np.diff(amount) >= -1e-12).all()


def test_seeds_place_blobs_differently(rest):
    pair = [paint(fabric("blobs", seed=seed), rest) for seed in (1, 2)]
    assert np.abs(pair[0] - pair[1]).max() > 0.3
    np.testing.assert_array_equal(paint(fabric("blobs", seed=1), rest), pair[0])


def test_cloth_is_unrolled_without_stretching_along_limbs():
    x = np.linspace(0.25, 0.6, 30)
    sleeve = np.stack([x, 0.5 + 0 * x, 0.01 + 0 * x], axis=1)
    for side in (1, -1):
        _, along = cloth_coordinates(sleeve * [side, 1, 1])
        np.testing.assert_allclose(np.abs(np.diff(along)), np.diff(x))
    y = np.linspace(-0.7, 0.3, 30)
    front = np.stack([0.05 + 0 * y, y, 0.1 + 0 * y], axis=1)
    for on_leg in (False, True):
        _, along = cloth_coordinates(front, on_leg=on_leg)
        np.testing.assert_array_equal(along, y)


def test_cloth_is_unrolled_by_about_the_girth():
    """A metre around trunk, sleeve or leg is about a metre of fabric."""
    angle = np.linspace(-3, 3, 500)
    for centre, axes, radius, on_leg in (
        ((0, 0.3, 0.02), (0, 2), 0.14, False),
        ((0.45, 0.468, 0.009), (1, 2), 0.05, False),
        ((0.125, -0.4, 0.01), (0, 2), 0.075, True),
    ):
        ring = np.tile(centre, (len(angle), 1)).astype(float)
        ring[:, axes[0]] += radius * np.sin(angle)
        ring[:, axes[1]] += radius * np.cos(angle)
        around, _ = cloth_coordinates(ring, on_leg=on_leg)
        step = np.abs(np.diff(around))
        usual = step < 0.1  # but where the seam is
        assert usual.mean() > 0.99
        length = radius * np.diff(angle)
        np.testing.assert_allclose(step[usual], length[usual], rtol=0.25)


def test_mixing_is_linear_between_its_ends():
    colour = np.array([[0.2, 0.4, 0.6]] * 3)
    mixed = mix(colour, np.array([0, 0.5, 1]), (1.0, 0, 0))
    np.testing.assert_allclose(mixed, [[0.2, 0.4, 0.6], [0.6, 0.2, 0.3], [1, 0, 0]])
