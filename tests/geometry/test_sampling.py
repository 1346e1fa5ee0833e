"""Sampling: PyTorch's golden values, SciPy inside and outside, gradients, bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from volhuman.geometry.sampling import (
    index_from_view,
    interpolation_corners,
    sample_bilinear,
    sample_trilinear,
    view_from_index,
    view_grid,
)

SAMPLE = {2: sample_bilinear, 3: sample_trilinear}
SCIPY_MODES = {"edge": "nearest", "zero": "grid-constant"}
COMPILED = {
    (axes, outside): jax.jit(functools.partial(sample, outside=outside))
    for axes, sample in SAMPLE.items()
    for outside in SCIPY_MODES
}
SIZES = (5, 6, 7)


def random_grid(axes, seed=0, channels=2):
    shape = (*SIZES[:axes], channels)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def array_index(points, sizes):
    """Continuous indices in the order of the array axes: y, x(, z)."""
    order = [1, 0, 2][: len(sizes)]
    return [((points[..., k] + 1) * n - 1) / 2 for k, n in zip(order, sizes)]


def by_scipy(grid, points, outside):
    index = array_index(np.float64(points), grid.shape[:-1])
    channels = [
        scipy.ndimage.map_coordinates(
            grid[..., c].astype(np.float64), index, order=1, mode=SCIPY_MODES[outside]
        )
        for c in range(grid.shape[-1])
    ]
    return np.stack(channels, axis=-1)


@pytest.mark.parametrize("axes", [2, 3])
def test_equals_grid_sample_of_the_pamir_operators(shared, variant, axes):
    """Border clamp, corners not aligned; features are (C, H, W) and (C, D, H, W)."""
    golden = np.load(shared / "golden" / "pamir" / "ops.npz")
    features = golden[f"in/feat{axes}"][0]
    order = (1, 2, 0) if axes == 2 else (2, 3, 1, 0)
    points = golden[f"in/grid{axes}"].reshape(-1, axes)
    sample = variant(functools.partial(SAMPLE[axes], outside="edge"))
    values = sample(jnp.asarray(features.transpose(order)), jnp.asarray(points))
    expected = golden[f"out/grid_sample_{axes}d"].reshape(features.shape[0], -1).T
    assert np.abs(points).max() > 1, "the golden points reach outside"
    np.testing.assert_allclose(
        values, expected, atol=2e-6 * max(1, np.abs(expected).max())
    )


@pytest.mark.parametrize("outside", SCIPY_MODES)
@pytest.mark.parametrize("axes", [2, 3])
def test_equals_scipy_inside_and_outside(axes, outside):
    grid = random_grid(axes)
    points = np.random.default_rng(1).uniform(-2, 2, (10, 50, axes)).astype(np.float32)
    values = COMPILED[axes, outside](grid, points)
    np.testing.assert_allclose(values, by_scipy(grid, points, outside), atol=3e-6)


def test_a_volume_of_positions_returns_the_position(variant):
    """Golden rule of DESIGN: index i of n lies at (2i + 1)/n - 1, order x, y, z."""
    grid = view_grid(*SIZES)
    assert grid.shape == (*SIZES, 3)
    np.testing.assert_allclose(grid[1, 2, 3], [5 / 6 - 1, 3 / 5 - 1, 0], atol=1e-7)
    inner = np.random.default_rng(2).uniform(-0.8, 0.8, (100, 3)).astype(np.float32)
    sample = variant(functools.partial(sample_trilinear, outside="zero"))
    np.testing.assert_allclose(sample(grid, inner), inner, atol=1e-6)
    np.testing.assert_array_equal(view_grid(2, 2)[0, 1], [0.5, -0.5])


def test_index_and_view_are_inverse():
    index = jnp.linspace(-3, 12, 31)
    np.testing.assert_allclose(
        index_from_view(view_from_index(index, 9), 9), index, atol=2e-6
    )
    np.testing.assert_allclose(view_from_index(jnp.array([-0.5, 8.5]), 9), [-1, 1])


@pytest.mark.parametrize("outside", SCIPY_MODES)
@pytest.mark.parametrize("axes", [2, 3])
def test_gradients_match_finite_differences(axes, outside):
    with jax.enable_x64(True):
        grid = jnp.asarray(random_grid(axes), jnp.float64)
        generator = np.random.default_rng(3)
        points = generator.uniform(-1.4, 1.4, (12, axes))
        factors = jnp.asarray(generator.normal(size=(12, 2)))
        sample = functools.partial(SAMPLE[axes], outside=outside)
        loss = jax.jit(lambda g, p: (sample(g, p) * factors).sum())
        by_grid, by_points = jax.jit(jax.grad(loss, argnums=(0, 1)))(grid, points)
        numeric = np.zeros_like(points)
        for entry in np.ndindex(points.shape):
            step = np.zeros_like(points)
            step[entry] = 1e-6
            numeric[entry] = loss(grid, points + step) - loss(grid, points - step)
        np.testing.assert_allclose(by_points, numeric / 2e-6, rtol=1e-5, atol=1e-7)
        # Linear in the grid: the derivative along the grid itself is the value.
        np.testing.assert_allclose((by_grid * grid).sum(), loss(grid, points))


def test_gradient_is_alive_on_voxel_centres(variant):
    volume = jnp.arange(27.0).reshape(3, 3, 3, 1)
    for outside in SCIPY_MODES:
        slope = jax.grad(lambda p, o=outside: sample_trilinear(volume, p, o).sum())
        np.testing.assert_allclose(
            variant(slope)(jnp.zeros(3)), np.array([3, 9, 1]) * 1.5, rtol=1e-6
        )


@pytest.mark.parametrize("outside", SCIPY_MODES)
@pytest.mark.parametrize("axes", [2, 3])
def test_bad_positions_never_wrap_and_never_become_cell_0(axes, outside):
    grid = random_grid(axes) + 10
    sample = COMPILED[axes, outside]
    for bad in (np.nan, np.inf, -np.inf, 1e10, -1e10, 3e38, -3e38):
        for axis in range(axes):
            points = np.zeros((1, axes), np.float32)
            points[0, axis] = bad
            values = np.asarray(sample(grid, points))
            if np.isnan(bad):
                assert np.isnan(values).all()
            elif outside == "zero":
                np.testing.assert_array_equal(values, 0)
            else:
                border = np.clip(points, -1, 1)
                np.testing.assert_allclose(
                    values, by_scipy(grid, border, outside), atol=3e-6
                )


@pytest.mark.parametrize("outside", SCIPY_MODES)
def test_cells_of_size_one_and_negative_indices(outside):
    """A volume of one cell, and index -1, which a plain gather would wrap."""
    one = np.full((1, 1, 1, 1), 7, np.float32)
    centre, far = np.zeros((1, 3), np.float32), np.full((1, 3), -1.5, np.float32)
    assert sample_trilinear(one, centre, outside)[0, 0] == 7
    # At view -1.5 the index is -0.75: a quarter of the cell is left per axis.
    expected = 7 if outside == "edge" else 7 * 0.25**3
    np.testing.assert_allclose(sample_trilinear(one, far, outside)[0, 0], expected)
    for row, _ in interpolation_corners(
        [jnp.array([-9.0, 9.0, jnp.nan])], (4,), outside
    ):
        assert ((row >= 0) & (row < 4)).all()


def test_gradient_is_zero_and_finite_outside(variant):
    volume = random_grid(3)
    points = np.array([[5, 0, 0], [0, -5, 1e10], [np.inf, 0, 0]], np.float32)
    for outside in SCIPY_MODES:
        slope = jax.grad(lambda p, o=outside: sample_trilinear(volume, p, o).sum())
        gradient = np.asarray(variant(slope)(points))
        assert np.isfinite(gradient).all()
        assert gradient[0, 0] == gradient[1, 1] == gradient[2, 0] == 0


def test_vmap_equals_a_loop_and_keeps_half_precision():
    volumes = jnp.asarray(np.random.default_rng(5).normal(size=(3, *SIZES, 2)))
    points = np.random.default_rng(6).uniform(-1.2, 1.2, (3, 9, 3)).astype(np.float32)
    sample = functools.partial(sample_trilinear, outside="zero")
    mapped = jax.jit(jax.vmap(sample))(volumes, points)
    for number in range(3):
        single = COMPILED[3, "zero"](volumes[number], points[number])
        np.testing.assert_allclose(mapped[number], single, atol=1e-6)
    assert sample(volumes[0].astype(jnp.bfloat16), points[0]).dtype == jnp.bfloat16


@pytest.mark.parametrize(
    "function,shapes,outside,message",
    [
        (sample_bilinear, ((3, 3), (5, 2)), "edge", "image has shape"),
        (sample_bilinear, ((3, 3, 1), (5, 3)), "edge", "points has shape"),
        (sample_trilinear, ((3, 3, 3), (5, 3)), "zero", "volume has shape"),
        (sample_trilinear, ((3, 3, 3, 1), (5, 2)), "zero", "points has shape"),
        (sample_bilinear, ((3, 3, 1), (5, 2)), "wrap", "outside is 'wrap'"),
    ],
)
def test_says_what_is_wrong(function, shapes, outside, message):
    with pytest.raises(ValueError, match=message):
        function(*(jnp.zeros(shape) for shape in shapes), outside)
