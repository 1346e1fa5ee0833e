"""Normal errors: analytic angles, analytic pictures of cubes and spheres, variants."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from volhuman.evaluation.meshes import Mesh
from volhuman.evaluation.normals import (
    NORMAL_PROTOCOLS,
    NORMALS_ICON,
    NORMALS_PAMIR,
    NORMALS_PIFUHD,
    NORMALS_STANDARD,
    NormalProtocol,
    cosine_error,
    l2_error,
    normal_reprojection_error,
    render_normals,
)


def _maps(seed=0, shape=(9, 7)):
    generator = np.random.default_rng(seed)
    maps = generator.normal(size=(2, *shape, 3))
    return maps / np.linalg.norm(maps, axis=-1, keepdims=True)


# -- two maps


@pytest.mark.parametrize("degrees", [0, 1, 60, 90, 180])
def test_a_known_angle_has_its_cosine_and_its_chord(variant, degrees):
    truth = _maps()[0]
    axis = np.cross(truth, [0.3, 0.5, 0.8])
    axis *= np.radians(degrees) / np.linalg.norm(axis, axis=-1, keepdims=True)
    turn = Rotation.from_rotvec(axis.reshape(-1, 3))
    turned = turn.apply(truth.reshape(-1, 3)).reshape(truth.shape)
    mask = np.ones(truth.shape[:2], bool)
    half = np.radians(degrees) / 2
    np.testing.assert_allclose(
        variant(cosine_error)(turned, truth, mask), 2 * np.sin(half) ** 2, atol=1e-6
    )
    np.testing.assert_allclose(
        variant(l2_error)(turned, truth, mask), 2 * np.sin(half), atol=1e-6
    )


def test_only_the_mask_counts_and_lengths_do_not():
    prediction, truth = _maps()
    mask = np.random.default_rng(1).random(truth.shape[:2]) > 0.4
    a, b = prediction[mask], truth[mask]
    cosine = (1 - (a * b).sum(-1)).mean()
    chord = np.linalg.norm(a - b, axis=-1).mean()
    spoiled = np.where(mask[..., None], 3.7 * prediction, np.nan)
    np.testing.assert_allclose(cosine_error(spoiled, truth, mask), cosine, rtol=1e-5)
    np.testing.assert_allclose(l2_error(spoiled, truth, mask), chord, rtol=1e-5)


def test_a_hole_counts_as_one_and_has_a_gradient(variant):
    truth = _maps()[0]
    mask = np.ones(truth.shape[:2])
    for error in (cosine_error, l2_error):
        hole = jnp.zeros_like(truth)
        np.testing.assert_allclose(variant(error)(hole, truth, mask), 1, rtol=1e-6)
        for place in (hole, jnp.asarray(truth)):
            assert np.isfinite(jax.grad(error)(place, truth, mask)).all()


def test_an_empty_mask_and_nan_inside_the_mask_give_nan():
    prediction, truth = _maps()
    mask = np.ones(truth.shape[:2])
    prediction[3, 3, 1] = np.nan
    for error in (cosine_error, l2_error):
        assert np.isnan(error(prediction, truth, mask))
        assert np.isnan(error(truth, truth, 0 * mask))


def test_refuses_maps_of_different_sizes():
    for wrong in (np.zeros((9, 8, 3)), np.zeros((9, 7, 4))):
        with pytest.raises(ValueError, match="truth"):
            cosine_error(np.zeros((9, 7, 3)), wrong, np.ones((9, 7)))
    with pytest.raises(ValueError, match="mask"):
        l2_error(np.zeros((9, 7, 3)), np.zeros((9, 7, 3)), np.ones((9, 6)))


# -- two meshes

SIZE = 200


def _cube(side=1.0, shift=(0, 0, 0)):
    """A cube whose corners are not shared, so that its normals are those of faces."""
    box = trimesh.creation.box((side, side, side))
    vertices = np.asarray(box.vertices)[box.faces].reshape(-1, 3)
    return Mesh(vertices + shift, np.arange(len(vertices)).reshape(-1, 3))


def _sphere(radius=1.0):
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=radius)
    return Mesh(np.asarray(sphere.vertices), np.asarray(sphere.faces))


def test_the_picture_of_a_sphere_shows_its_directions():
    normals, mask = render_normals(_sphere(), half_width=1.25, size=SIZE)
    centres = (np.arange(SIZE) + 0.5) / SIZE * 2.5 - 1.25
    x, y = np.meshgrid(centres, -centres)
    radius = np.hypot(x, y)
    assert mask[radius < 0.98].all() and not mask[radius > 1].any()
    z = np.sqrt(np.maximum(1 - radius**2, 0))
    inner = radius < 0.9
    error = np.abs(normals - np.stack([x, y, z], -1))[inner]
    assert error.max() < 0.03
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), mask, atol=1e-5)


# The corner of the cube reaches sqrt(2)/2 from the axis and fills 0.9 of the picture.
COVER = (0.9 / np.sqrt(2)) ** 2


@pytest.mark.parametrize(
    "protocol, expected",
    [
        # Seen along an axis a face has normal (0, 0, 1), as a colour (0.5, 0.5, 1).
        (NORMALS_PIFUHD, COVER),
        (NORMALS_ICON, 4 * 1.5 * COVER),
        (NORMALS_STANDARD, 1.0),
    ],
    ids=lambda p: getattr(p, "name", None),
)
def test_a_missing_cube_scores_its_area(protocol, expected):
    away = _cube(shift=(0, 50, 0))
    protocol = dataclasses.replace(protocol, size=SIZE)
    value = normal_reprojection_error(away, _cube(), protocol)
    np.testing.assert_allclose(value, expected, rtol=0.02)


def test_a_shifted_cube_is_an_error_at_its_two_edges():
    """Moved up by a tenth: a strip of the truth and one of the prediction are bare."""
    pair = _cube(shift=(0, 0.1, 0)), _cube()
    value = normal_reprojection_error(*pair, NORMALS_PIFUHD)
    np.testing.assert_allclose(value, 2 * 0.1 * COVER, rtol=0.05)
    value = normal_reprojection_error(*pair, NORMALS_STANDARD)
    np.testing.assert_allclose(value, 0.2 / 1.1, rtol=0.05)


def test_eight_views_of_a_cube_see_its_edges_too():
    """At 45 degrees two faces are seen, over a width of sqrt(2)."""
    away = _cube(shift=(0, 50, 0))
    protocol = dataclasses.replace(NORMALS_PAMIR, size=SIZE)
    expected = COVER * (1 + np.sqrt(2)) / 2
    value = normal_reprojection_error(away, _cube(), protocol)
    np.testing.assert_allclose(value, expected, rtol=0.02)


def test_a_sheet_has_no_error_where_it_is_seen_from_its_edge():
    """It is seen in two of four views, there reversed in direction."""
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0.0]])
    sheet = Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]]))
    back = Mesh(corners, sheet.faces[:, ::-1])
    value = normal_reprojection_error(back, sheet, NORMALS_STANDARD)
    np.testing.assert_allclose(value, (2 + 0 + 2 + 0) / 4, rtol=1e-5)


@pytest.mark.parametrize("protocol", NORMAL_PROTOCOLS.values(), ids=lambda p: p.name)
def test_equal_meshes_score_zero_and_framing_moves_with_the_truth(protocol):
    protocol = dataclasses.replace(protocol, size=64)
    assert normal_reprojection_error(_sphere(), _sphere(), protocol) == 0
    pair = _sphere(0.9), _sphere()
    value = normal_reprojection_error(*pair, protocol)
    moved = [Mesh(mesh.vertices * 1.7 + [3, -2, 5], mesh.faces) for mesh in pair]
    assert value > 0.01
    np.testing.assert_allclose(
        normal_reprojection_error(*moved, protocol), value, rtol=0.02
    )


@pytest.mark.parametrize(
    "mesh",
    [
        Mesh(np.zeros((0, 3)), np.zeros((0, 3), int)),
        Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]])),
        Mesh(np.full((3, 3), np.nan), np.array([[0, 1, 2]])),
    ],
    ids=["empty", "no area", "nan"],
)
def test_an_unusable_prediction_is_nan_and_an_unusable_truth_refused(mesh):
    assert np.isnan(normal_reprojection_error(mesh, _cube(), NORMALS_STANDARD))
    with pytest.raises(ValueError, match="true surface"):
        normal_reprojection_error(_cube(), mesh, NORMALS_STANDARD)


@pytest.mark.parametrize(
    "wrong",
    [
        {"interval": "byte"},
        {"distance": "l1"},
        {"pixels": "truth"},
        {"views": "max"},
        {"num_views": 0},
        {"size": 0},
    ],
)
def test_refuses_an_unknown_protocol(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        NormalProtocol(name="x", **wrong)
