"""Capsules against naive distances; heat maps against the reposing paper's."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.geometry.masks import capsule_masks, joint_heatmaps
from volhuman.geometry.sampling import view_grid

SHAPE = (9, 7, 11)
ENDS = np.array(
    [
        [[-0.5, -0.4, 0.1], [0.6, 0.3, -0.2]],
        [[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]],  # length 0: a ball
        [[0.0, -1.5, 0.0], [0.0, 0.0, 0.0]],  # partly outside
        [[3.0, 3.0, 3.0], [4.0, 3.0, 3.0]],  # wholly outside
    ],
    np.float32,
)
RADII = np.array([0.3, 0.5, 0.4, 0.5], np.float32)


def naive_distances(ends, shape):
    """Distance of every voxel centre to a segment, one voxel after the other."""
    height, width, depth = shape
    start, end = np.float64(ends)
    distances = np.zeros(shape)
    for i, j, k in np.ndindex(shape):
        centre = np.array(
            [(2 * j + 1) / width, (2 * i + 1) / height, (2 * k + 1) / depth]
        )
        along = end - start
        share = 0.0
        if along @ along > 0:
            share = np.clip((centre - 1 - start) @ along / (along @ along), 0, 1)
        distances[i, j, k] = np.linalg.norm(centre - 1 - start - share * along)
    return distances


@pytest.mark.parametrize("softness", [None, 0.5, 0])
def test_capsules_equal_naive_distances(variant, softness):
    masks = variant(functools.partial(capsule_masks, shape=SHAPE, softness=softness))(
        jnp.asarray(ENDS), jnp.asarray(RADII)
    )
    assert masks.shape == (4, *SHAPE) and masks.dtype == jnp.float32
    width = 2 / 11 if softness is None else softness
    for mask, ends, radius in zip(masks, ENDS, RADII):
        distance = naive_distances(ends, SHAPE)
        if width == 0:
            clear = np.abs(distance - radius) > 1e-5
            np.testing.assert_array_equal(mask[clear], (distance < radius)[clear])
        else:
            expected = np.clip((radius - distance) / width + 0.5, 0, 1)
            np.testing.assert_allclose(mask, expected, atol=1e-5)
    assert masks[0].max() == masks[1].max() == 1 and masks[3].max() == 0


def test_soft_volume_grows_with_the_radius_as_a_capsule_does():
    """The sum of a fine soft mask is the volume of the capsule."""
    shape = (40, 40, 40)
    ends, radius = np.float32([[[-0.3, 0, 0.1], [0.3, 0.2, 0]]]), 0.3
    length = np.linalg.norm(ends[0, 1] - ends[0, 0])
    volume = capsule_masks(ends, np.float32([radius]), shape).sum() * (2 / 40) ** 3
    expected = np.pi * radius**2 * (length + 4 / 3 * radius)
    np.testing.assert_allclose(volume, expected, rtol=0.01)


def test_gradient_of_the_radius_is_the_ramp_and_finite_everywhere():
    """Also on the axis, where the root has none, and for a capsule of length 0."""
    ends = ENDS.copy()
    ends[2] = [[0, 0, 0], [0.5, 0, 0]]  # its axis passes through voxel centres
    centre = np.asarray(view_grid(*SHAPE))[4, 3, 5]
    np.testing.assert_allclose(centre, 0, atol=1e-6)

    factors = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)

    def volumes(ends, radii):
        masks = capsule_masks(ends, radii, SHAPE, softness=0.4)
        return (masks * factors).sum((1, 2, 3))

    slope = jax.jit(jax.jacobian(volumes, argnums=(0, 1)))
    by_ends, by_radii = slope(ends, RADII)
    assert np.isfinite(by_ends).all() and np.isfinite(by_radii).all()
    expected = []
    for end, radius in zip(ends, RADII):
        distance = naive_distances(end, SHAPE)
        expected.append(factors[np.abs(distance - radius) < 0.2].sum() / 0.4)
    np.testing.assert_allclose(np.diagonal(by_radii), expected, atol=1e-4)
    # Moving both ends by one vector moves the capsule: compare with differences.
    shift = np.float32([0.3, -0.2, 0.5])
    turned = (np.asarray(by_ends)[0, 0] * shift).sum()
    step = 1e-5
    moved = [
        np.clip(
            (RADII[0] - naive_distances(ends[0] + s * shift, SHAPE)) / 0.4 + 0.5, 0, 1
        )
        for s in (step, -step)
    ]
    numeric = ((moved[0] - moved[1]) * factors).sum() / (2 * step)
    np.testing.assert_allclose(turned, numeric, rtol=1e-3)


def test_heat_maps_equal_those_of_the_reposing_paper(shared):
    """6 px on a grid of 64 x 64 x 32 whose index i is the pixel i 256/size."""
    folder = shared / "golden" / "repose"
    expected = np.load(folder / "small.npz")["heat"][0]
    poses = json.loads((folder / "poses.json").read_text())
    shape = expected.shape[:3]
    size = np.array([shape[1], shape[0], shape[2]])
    errors = []
    for name in ("input", "target"):
        pixels = np.array(poses[name]) + np.array([0, 0, 128])
        # Index i lies at view (2i + 1)/n - 1.
        view = (2 * pixels * size / 256 + 1) / size - 1
        heat = joint_heatmaps(jnp.float32(view), shape, 6 * 2 / 256)
        errors.append(np.abs(np.asarray(heat) - expected).max())
    assert min(errors) < 1e-3, errors


def test_heat_maps_equal_a_naive_gaussian(variant):
    joints = np.random.default_rng(0).uniform(-1.2, 1.2, (5, 3)).astype(np.float32)
    deviation = np.float32([0.2, 0.3, 0.4])
    draw = variant(functools.partial(joint_heatmaps, shape=SHAPE, deviation=deviation))
    heat = draw(jnp.asarray(joints))
    offset = (np.asarray(view_grid(*SHAPE))[..., None, :] - joints) / deviation
    np.testing.assert_allclose(heat, np.exp(-0.5 * (offset**2).sum(-1)), atol=1e-6)
    alike = joint_heatmaps(jnp.asarray(joints), SHAPE, 0.2)
    both = joint_heatmaps(jnp.asarray(joints), SHAPE, jnp.full(3, 0.2))
    np.testing.assert_array_equal(alike, both)


def test_a_joint_far_outside_leaves_nothing_and_a_finite_gradient():
    joints = jnp.array([[9.0, 0, 0], [0, -1e6, 0], [0, 0, 1e20]])
    draw = jax.jit(lambda j: joint_heatmaps(j, SHAPE, 0.1))
    np.testing.assert_array_equal(draw(joints), 0)
    gradient = jax.jit(jax.grad(lambda j: draw(j).sum()))(joints)
    assert np.isfinite(gradient).all()


def test_says_which_shape_is_wrong():
    with pytest.raises(ValueError, match="ends has shape"):
        capsule_masks(jnp.zeros((2, 3)), jnp.zeros(2), SHAPE)
    with pytest.raises(ValueError, match="radii has shape"):
        capsule_masks(jnp.zeros((2, 2, 3)), jnp.zeros(3), SHAPE)
    with pytest.raises(ValueError, match="joints has shape"):
        joint_heatmaps(jnp.zeros((2, 2)), SHAPE, 0.1)
