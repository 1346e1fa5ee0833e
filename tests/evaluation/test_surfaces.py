"""Surface distances: exact cases, directions of the variants, alignment, failures."""

import dataclasses

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from volhuman.body.template import load_template
from volhuman.evaluation.alignment import align_surface
from volhuman.evaluation.meshes import Mesh
from volhuman.evaluation.surfaces import (
    SURFACE_ICON,
    SURFACE_PIFUHD,
    SURFACE_PROTOCOLS,
    SURFACE_STANDARD,
    SurfaceProtocol,
    surface_errors,
)

FEW = dataclasses.replace(SURFACE_STANDARD, samples=500)


def _plane(size=1.0, height=0.0, steps=4):
    axis = np.linspace(-size, size, steps)
    x, y = np.meshgrid(axis, axis)
    vertices = np.stack([x.ravel(), y.ravel(), np.full(x.size, height)], 1)
    corner = np.arange(steps * steps).reshape(steps, steps)[:-1, :-1].reshape(-1, 1)
    two = np.array([[0, 1, steps], [1, steps + 1, steps]])
    faces = (corner[..., None] + two).reshape(-1, 3)
    return Mesh(vertices, faces)


@pytest.fixture(scope="module")
def body():
    template = load_template()
    return Mesh(np.asarray(template.template, np.float64), np.asarray(template.faces))


@pytest.fixture(scope="module")
def rough():
    """A closed surface with dents, unlike its mirror image."""
    mesh = trimesh.creation.icosphere(subdivisions=2)
    generator = np.random.default_rng(0)
    vertices = mesh.vertices * generator.uniform(0.6, 1.2, (len(mesh.vertices), 1))
    return Mesh(vertices, np.asarray(mesh.faces))


def _moved(mesh, *, scale=1.0, rotation=None, shift=(0, 0, 0)):
    linear = np.eye(3) if rotation is None else rotation.as_matrix()
    return Mesh(scale * mesh.vertices @ linear.T + shift, mesh.faces)


@pytest.mark.parametrize("protocol", SURFACE_PROTOCOLS.values(), ids=lambda p: p.name)
def test_a_shifted_plane_scores_its_shift_in_centimetres(protocol):
    errors = surface_errors(_plane(height=0.05), _plane(), protocol)
    values = dataclasses.astuple(errors)[:4]
    np.testing.assert_allclose(values, 5.0, rtol=1e-9)
    assert errors.failure is None


def test_a_mesh_against_itself_scores_the_documented_floor(body):
    errors = surface_errors(body, body, SURFACE_STANDARD)
    assert 0 <= max(dataclasses.astuple(errors)[:4]) < 1e-6


def test_spheres_score_the_difference_of_their_radii():
    small, large = (
        trimesh.creation.icosphere(subdivisions=4, radius=r) for r in (1.0, 1.1)
    )
    meshes = [Mesh(np.asarray(m.vertices), np.asarray(m.faces)) for m in (small, large)]
    errors = surface_errors(*meshes, SURFACE_STANDARD)
    np.testing.assert_allclose(dataclasses.astuple(errors)[:4], 10, rtol=2e-3)


def test_directions_tell_missing_from_superfluous_parts():
    """A prediction that covers a quarter of the truth, then the reverse."""
    truth, part = _plane(1.0), _plane(0.5)
    missing = surface_errors(part, truth, FEW)
    assert missing.prediction_to_truth < 1e-5
    # Mean distance of a square's points to its inner half: 2 (1/8)(1/2)... by sampling.
    points = np.random.default_rng(0).uniform(-1, 1, (200_000, 2))
    outside = np.maximum(np.abs(points) - 0.5, 0)
    expected = 100 * np.linalg.norm(outside, axis=1).mean()
    np.testing.assert_allclose(missing.truth_to_prediction, expected, rtol=0.1)
    assert missing.chamfer == pytest.approx(missing.truth_to_prediction / 2, rel=1e-6)

    assert surface_errors(part, truth, SURFACE_PIFUHD).p2s < 1e-5
    assert surface_errors(part, truth, SURFACE_ICON).p2s > 10
    assert surface_errors(truth, part, SURFACE_PIFUHD).p2s > 10
    assert surface_errors(truth, part, SURFACE_ICON).p2s < 1e-5


def test_chamfer_is_symmetric_in_its_meshes(body):
    other = _moved(body, rotation=Rotation.from_euler("y", 10, degrees=True))
    there, back = surface_errors(body, other, FEW), surface_errors(other, body, FEW)
    # The samples differ: their noise is below a tenth.
    assert there.chamfer == pytest.approx(back.chamfer, rel=0.1)
    assert there.prediction_to_truth == pytest.approx(back.truth_to_prediction, rel=0.1)


def test_reductions_joins_and_units():
    pair = _plane(height=0.05), _plane()
    summed = dataclasses.replace(FEW, chamfer="sum")
    assert surface_errors(*pair, summed).chamfer == pytest.approx(10)
    square = dataclasses.replace(FEW, reduction="mean square")
    assert surface_errors(*pair, square).p2s == pytest.approx(25)
    metres = dataclasses.replace(FEW, unit="m", scale=1.0)
    assert surface_errors(*pair, metres).chamfer == pytest.approx(0.05)


def test_the_seed_decides_the_samples(body):
    other = _moved(body, shift=(0.02, 0, 0))
    first, again, another = (
        surface_errors(body, other, FEW, seed=seed).chamfer for seed in (0, 0, 1)
    )
    assert first == again != another
    assert first == pytest.approx(another, rel=0.1)


# -- alignment


@pytest.mark.parametrize(
    "kind, degrees, change",
    [
        ("z shift", 0, {"shift": (0, 0, 0.4)}),
        ("rigid", 30, {"shift": (0.05, -0.03, 0.1)}),
        ("similarity", -25, {"shift": (0.05, 0, 0.1), "scale": 0.7}),
        ("similarity", 10, {"shift": (-0.1, 0, 0), "scale": 1.2}),
    ],
)
def test_alignment_undoes_what_it_may(rough, kind, degrees, change):
    turn = Rotation.from_euler("yz", [degrees, degrees / 4], degrees=True)
    moved = _moved(rough, rotation=turn, **change)
    assert surface_errors(moved, rough, FEW).chamfer > 2
    aligned = dataclasses.replace(FEW, alignment=kind)
    assert surface_errors(moved, rough, aligned).chamfer < 2e-3


def test_a_body_is_aligned_to_a_hundredth_of_a_millimetre(body):
    turn = Rotation.from_euler("yz", [20, 5], degrees=True)
    moved = _moved(body, rotation=turn, scale=0.8, shift=(0.05, 0, 0.1))
    aligned = align_surface(moved, body, "similarity", seed=0)
    np.testing.assert_allclose(aligned.vertices, body.vertices, atol=1e-5)


def test_alignment_does_no_more_than_it_may(rough):
    """Depth alone cannot undo a shift to the side, a rigid motion no scale."""
    for kind, change in (
        ("z shift", {"shift": (0.1, 0, 0)}),
        ("rigid", {"scale": 1.2}),
    ):
        protocol = dataclasses.replace(FEW, alignment=kind)
        assert surface_errors(_moved(rough, **change), rough, protocol).chamfer > 1
    moved = align_surface(_moved(rough, shift=(0.1, 0, 0.1)), rough, "z shift", seed=0)
    np.testing.assert_allclose(
        moved.vertices[:, :2], rough.vertices[:, :2] + [0.1, 0], atol=1e-9
    )


def test_a_similarity_does_not_shrink_the_prediction_away():
    """One-way matching would move a cube's surface into a point of the sphere."""
    sphere, cube = trimesh.creation.icosphere(3), trimesh.creation.box((1.5, 1.5, 1.5))
    meshes = [Mesh(np.asarray(m.vertices), np.asarray(m.faces)) for m in (cube, sphere)]
    moved = align_surface(*meshes, "similarity", seed=0)
    assert 0.8 < np.ptp(moved.vertices[:, 0]) / 1.5 < 1.5


def test_a_mirrored_surface_stays_wrong(rough):
    mirrored = Mesh(rough.vertices * [1, 1, -1], rough.faces)
    aligned = dataclasses.replace(FEW, alignment="similarity")
    assert surface_errors(mirrored, rough, aligned).chamfer > 0.5


# -- bad input


@pytest.mark.parametrize(
    "prediction, reason",
    [
        (Mesh(np.zeros((0, 3)), np.zeros((0, 3), int)), "no faces"),
        (Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]])), "no area"),
        (Mesh(np.full((3, 3), np.nan), np.array([[0, 1, 2]])), "not finite"),
    ],
)
@pytest.mark.parametrize("alignment", ["none", "similarity"])
def test_an_unusable_prediction_is_a_failure_with_a_reason(
    prediction, reason, alignment
):
    protocol = dataclasses.replace(FEW, alignment=alignment)
    errors = surface_errors(prediction, _plane(), protocol)
    assert np.isnan(dataclasses.astuple(errors)[:4]).all()
    assert reason in errors.failure


def test_an_unusable_truth_is_refused():
    empty = Mesh(np.zeros((0, 3)), np.zeros((0, 3), int))
    with pytest.raises(ValueError, match=r"true surface.*no faces"):
        surface_errors(_plane(), empty, FEW)


@pytest.mark.parametrize(
    "wrong",
    [
        {"p2s": "both"},
        {"chamfer": "max"},
        {"reduction": "median"},
        {"alignment": "affine"},
        {"samples": 0},
    ],
)
def test_refuses_an_unknown_protocol(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SurfaceProtocol(name="x", **wrong)
