"""Cameras and crops: round trips, the closed form of PaMIR, agreement of the models."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from volhuman.geometry.camera import (
    FACING_CAMERA,
    Crop,
    Pinhole,
    WeakPerspective,
    crop_around,
    crop_image,
    pinhole_from_weak,
    pixel_from_view,
    project_pinhole,
    project_weak,
    uncrop_image,
    unproject_pinhole,
    unproject_weak,
    view_from_pixel,
    weak_from_pinhole,
)

BATCH = 4
CROP = jax.jit(crop_image, static_argnums=2)
UNCROP = jax.jit(uncrop_image, static_argnums=2)


@pytest.fixture
def weak():
    generator = np.random.default_rng(0)
    return WeakPerspective(
        scale=jnp.float32(generator.uniform(0.5, 2, BATCH)),
        rotation=jnp.float32(Rotation.random(BATCH, generator).as_matrix()),
        translation=jnp.float32(generator.normal(size=(BATCH, 2))),
    )


@pytest.fixture
def pinhole():
    generator = np.random.default_rng(1)
    position = generator.normal(size=(BATCH, 3)) + np.array([0, 0, 6])
    return Pinhole(
        focal=jnp.float32(generator.uniform(2, 8, BATCH)),
        principal=jnp.float32(generator.normal(0, 0.2, (BATCH, 2))),
        rotation=jnp.float32(Rotation.random(BATCH, generator).as_matrix()),
        position=jnp.float32(position),
    )


@pytest.fixture
def points():
    generator = np.random.default_rng(2)
    return jnp.float32(generator.uniform(-0.9, 0.9, (BATCH, 7, 3)))


def test_weak_projection_equals_the_formula_and_its_inverse(variant, weak, points):
    view = variant(project_weak)(weak, points)
    for b, n in np.ndindex(BATCH, 7):
        turned = np.asarray(weak.rotation[b]) @ np.asarray(points[b, n])
        expected = weak.scale[b] * turned + np.append(weak.translation[b], 0)
        np.testing.assert_allclose(view[b, n], expected, atol=2e-6)
    back = variant(unproject_weak)(weak, view)
    np.testing.assert_allclose(back, points, atol=5e-6)


def test_a_person_who_faces_the_camera_has_its_left_on_the_right_and_head_up():
    """x to the subject's left is right in view; y up is down; front is near."""
    camera = WeakPerspective(jnp.ones(()), jnp.asarray(FACING_CAMERA), jnp.zeros(2))
    left_up_front = project_weak(camera, jnp.eye(3))
    np.testing.assert_array_equal(left_up_front, np.diag([1, -1, -1]))
    assert np.linalg.det(FACING_CAMERA) == 1


def test_pinhole_projection_equals_the_formula_and_its_inverse(
    variant, pinhole, points
):
    view = variant(project_pinhole)(pinhole, points)
    for b, n in np.ndindex(BATCH, 7):
        turned = np.asarray(pinhole.rotation[b]) @ np.asarray(points[b, n])
        x, y, z = turned + np.asarray(pinhole.position[b])
        xy = pinhole.focal[b] * np.array([x, y]) / z + pinhole.principal[b]
        np.testing.assert_allclose(view[b, n], [*xy, z], atol=1e-5)
    back = variant(unproject_pinhole)(pinhole, view)
    np.testing.assert_allclose(back, points, atol=2e-5)


def test_points_behind_the_camera_are_finite_with_finite_gradients():
    """At depth 0 and behind they are projected as if they lay at `nearest`."""
    camera = Pinhole(jnp.float32(2), jnp.array([0.1, -0.2]), jnp.eye(3), jnp.zeros(3))
    points = jnp.array([[1.0, 2, 0], [0, 0, 0], [1, -1, -3], [1, 2, 0.5]])
    view = project_pinhole(camera, points, nearest=0.25)
    expected = [[8.1, 15.8, 0], [0.1, -0.2, 0], [8.1, -8.2, -3], [4.1, 7.8, 0.5]]
    np.testing.assert_allclose(view, expected, rtol=1e-6)
    gradient = jax.grad(lambda p: project_pinhole(camera, p).sum())(points)
    assert np.isfinite(gradient).all()


def test_equals_the_official_projections_of_pamir(shared):
    """u = 256 + 5000 x/(10 - z), v = 256 - 5000 y/(10 - z), normalised by 256."""
    golden = np.load(shared / "golden" / "pamir" / "ops.npz")
    points, expected = golden["in/pts"][0], golden["out/pts_proj"][0]
    camera = Pinhole(
        focal=jnp.float32(5000 / 256),
        principal=jnp.zeros(2),
        rotation=jnp.asarray(FACING_CAMERA),
        position=jnp.array([0.0, 0, 10]),
    )
    view = project_pinhole(camera, jnp.asarray(points))
    np.testing.assert_allclose(view[:, :2], expected, atol=2e-6)
    corners = np.array(np.meshgrid(*[[-0.5, 0.5]] * 3)).reshape(3, -1).T
    x, y, z = corners.T
    closed = 5000 / 256 * np.stack([x / (10 - z), -y / (10 - z)], axis=-1)
    view = project_pinhole(camera, jnp.float32(corners))
    np.testing.assert_allclose(view[:, :2], closed, atol=2e-6)


def test_pinhole_and_weak_camera_agree_to_first_order(pinhole, points):
    """Exactly at the body's origin; the error falls with the square of the offset."""
    weak = weak_from_pinhole(pinhole)
    np.testing.assert_allclose(
        project_weak(weak, jnp.zeros((BATCH, 1, 3)))[..., :2],
        project_pinhole(pinhole, jnp.zeros((BATCH, 1, 3)))[..., :2],
        atol=1e-5,
    )
    centred = Pinhole(
        pinhole.focal,
        pinhole.principal,
        pinhole.rotation,
        pinhole.position * jnp.array([0, 0, 1]),
    )
    weak = weak_from_pinhole(centred)
    errors = []
    for size in (0.4, 0.2, 0.1):
        difference = project_pinhole(centred, size * points) - project_weak(
            weak, size * points
        )
        errors.append(np.abs(difference[..., :2]).max())
    np.testing.assert_allclose(errors[0] / errors[1], 4, rtol=0.35)
    np.testing.assert_allclose(errors[1] / errors[2], 4, rtol=0.25)


def test_a_weak_camera_survives_the_way_through_a_pinhole(weak):
    back = weak_from_pinhole(pinhole_from_weak(weak, jnp.full(BATCH, 5.0)))
    for one, two in zip(jax.tree.leaves(back), jax.tree.leaves(weak)):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
    # A longer lens looks more like the weak camera.
    points = jnp.float32(np.random.default_rng(3).normal(0, 0.5, (BATCH, 9, 3)))
    errors = [
        np.abs(
            project_pinhole(pinhole_from_weak(weak, jnp.full(BATCH, focal)), points)
            - project_weak(weak, points)
        )[..., :2].max()
        for focal in (10.0, 100.0, 1000.0)
    ]
    np.testing.assert_allclose(errors[0] / errors[1], 10, rtol=0.4)
    np.testing.assert_allclose(errors[1] / errors[2], 10, rtol=0.1)


CROPS = [
    Crop(jnp.array([10.0, 7.0]), jnp.float32(8)),
    Crop(jnp.array([0.0, 13.0]), jnp.float32(12)),  # reaches beyond two borders
    Crop(jnp.array([10.5, 6.25]), jnp.float32(40)),  # larger than the photograph
]


@pytest.mark.parametrize("crop", CROPS)
def test_pixels_survive_the_way_through_the_crop(crop):
    pixels = jnp.float32(np.random.default_rng(4).uniform(-5, 25, (30, 2)))
    view = view_from_pixel(crop, pixels)
    np.testing.assert_allclose(pixel_from_view(crop, view), pixels, atol=1e-5)
    corner = jnp.stack([crop.centre - crop.size / 2, crop.centre + crop.size / 2])
    np.testing.assert_allclose(view_from_pixel(crop, corner), [[-1, -1], [1, 1]])


def test_a_crop_on_the_pixel_grid_copies_pixels(variant):
    image = jnp.float32(np.random.default_rng(5).uniform(size=(14, 20, 3)))
    crop = Crop(jnp.array([10.0, 7.0]), jnp.float32(8))
    cut = variant(functools.partial(crop_image, size=8))(image, crop)
    np.testing.assert_allclose(cut, image[3:11, 6:14], atol=2e-6)
    beyond = Crop(jnp.array([0.0, 13.0]), jnp.float32(12))
    cut = CROP(image, beyond, 12)
    np.testing.assert_allclose(cut[:7, 6:], image[7:, :6], atol=2e-6)
    np.testing.assert_array_equal(cut[:, :5], 0)
    np.testing.assert_array_equal(cut[8:], 0)


@pytest.mark.parametrize("crop", CROPS)
def test_an_image_survives_the_way_through_the_crop(crop):
    """A smooth image, where the crop covers it; the mask is the crop's square."""
    height, width = 14, 20
    y, x = np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij")
    image = jnp.float32(np.stack([x, y, x + 2 * y], axis=-1))
    size = 4 * int(crop.size)
    placed, mask = UNCROP(CROP(image, crop, size), crop, (height, width))
    offset = np.abs(np.stack([x, y], -1) - np.asarray(crop.centre)).max(-1)
    np.testing.assert_array_equal(mask, offset <= crop.size / 2)
    np.testing.assert_array_equal(np.asarray(placed)[~np.asarray(mask)], 0)
    # Off the borders, which blend to zero over a pixel, a linear image is kept.
    inner = (offset < crop.size / 2 - 1) & (x > 1) & (x < width - 1)
    inner &= (y > 1) & (y < height - 1)
    np.testing.assert_allclose(placed[inner], image[inner], atol=2e-4)
    assert inner.sum() > 9


def test_the_crop_around_points_is_square_centred_and_never_empty():
    points = np.array([[10.0, 20], [30, 25], [14, 60]])
    crop = crop_around(points, margin=1.5)
    np.testing.assert_allclose(crop.centre, [20, 40])
    np.testing.assert_allclose(crop.size, 60)
    view = np.asarray(view_from_pixel(crop, points))
    np.testing.assert_allclose(np.abs(view).max(), 1 / 1.5, rtol=1e-6)
    assert crop_around(points[:1]).size == 2
