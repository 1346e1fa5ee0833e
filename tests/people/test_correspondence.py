"""Dense correspondences: points that agree in all their forms, and pictures of them."""

import dataclasses

import numpy as np
import pytest

from volhuman.body.correspondence import SurfacePoints, surface_positions
from volhuman.body.template import load_template
from volhuman.people.correspondence import (
    dressed_points,
    encode_iuv,
    sample_correspondences,
)
from volhuman.people.surface import QUARTERS, fine_body


@pytest.fixture(scope="module")
def template():
    return load_template()


@pytest.fixture
def empty(shot):
    """A view in which no body is seen."""
    return dataclasses.replace(
        shot.view,
        face=np.full_like(shot.view.face, -1),
        barycentric=np.zeros_like(shot.view.barycentric),
        label=np.zeros_like(shot.view.label),
        rest=np.zeros_like(shot.view.rest),
    )


def test_annotated_points_are_pixels_of_the_view(shot):
    view = shot.view
    drawn = sample_correspondences(np.random.default_rng(0), view, 300)
    assert {name: (value.shape, value.dtype) for name, value in drawn.items()} == {
        "dense_pixels": ((300, 2), np.float32),
        "dense_face": ((300,), np.int32),
        "dense_barycentric": ((300, 3), np.float32),
        "dense_rest": ((300, 3), np.float32),
    }
    column, row = np.floor(drawn["dense_pixels"]).astype(int).T
    np.testing.assert_array_equal(drawn["dense_pixels"] % 1, 0.5)
    np.testing.assert_array_equal(drawn["dense_face"], view.face[row, column])
    np.testing.assert_array_equal(
        drawn["dense_barycentric"], view.barycentric[row, column]
    )
    assert drawn["dense_face"].min() >= 0
    assert len(np.unique(row * shot.size + column)) == 300, "without repetition"


def test_rest_coordinates_are_those_of_the_annotated_body_point(shot, template):
    """Also under hanging fabric, where face and weights name the body behind it."""
    drawn = sample_correspondences(np.random.default_rng(0), shot.view, 500)
    points = SurfacePoints(
        np.asarray(template.faces)[drawn["dense_face"]], drawn["dense_barycentric"]
    )
    expected = np.asarray(surface_positions(points, template.template))
    distance = np.linalg.norm(drawn["dense_rest"] - expected, axis=1)
    assert distance.max() < 0.01


def test_few_pixels_are_drawn_again_and_none_gives_marks(shot, empty):
    few = dataclasses.replace(empty, face=empty.face.copy())
    few.face[3, [4, 5]] = [7, 8]
    drawn = sample_correspondences(np.random.default_rng(0), few, 50)
    assert set(map(tuple, drawn["dense_pixels"].tolist())) == {(4.5, 3.5), (5.5, 3.5)}
    assert set(drawn["dense_face"].tolist()) == {7, 8}
    none = sample_correspondences(np.random.default_rng(0), empty, 50)
    usual = sample_correspondences(np.random.default_rng(0), shot.view, 50)
    assert (none["dense_face"] == -1).all() and (none["dense_pixels"] == -1).all()
    for name, value in usual.items():
        assert none[name].shape == value.shape and none[name].dtype == value.dtype


def test_points_are_drawn_evenly_over_the_person(shot):
    drawn = sample_correspondences(np.random.default_rng(1), shot.view, 400)
    row = np.nonzero(shot.view.face >= 0)[0]
    assert drawn["dense_pixels"][:, 1].mean() == pytest.approx(row.mean(), abs=3)
    again = sample_correspondences(np.random.default_rng(1), shot.view, 400)
    np.testing.assert_array_equal(again["dense_pixels"], drawn["dense_pixels"])


def test_dressed_points_invert_the_quarters(posed_of):
    """Random points of fine faces, named in the template's faces, and back."""
    posed, body = posed_of(0, "bent"), fine_body()
    generator = np.random.default_rng(0)
    fine = generator.integers(0, len(body.faces), 4000)
    weights = generator.dirichlet(np.ones(3), 4000)
    quarter, face = np.divmod(fine, body.num_coarse)
    coarse = np.einsum("nk,nkc->nc", weights, QUARTERS[quarter])
    surface = posed.parts[0].vertices
    expected = np.einsum("nk,nkx->nx", weights, surface[body.faces[fine]])
    np.testing.assert_allclose(
        dressed_points(posed, face, coarse), expected, atol=1e-12
    )


def test_dressed_points_are_continuous_across_quarters(posed_of):
    posed = posed_of(0, "rest")
    face = np.arange(0, 13_776, 7)
    for weights in ([0.5, 0.3, 0.2], [0.25, 0.5, 0.25], [0.1, 0.4, 0.5], [0.5, 0.5, 0]):
        around = np.array(weights) + np.array([[1, -1, 0], [-1, 1, 0]]) * 1e-9
        pair = [dressed_points(posed, face, np.tile(w, (len(face), 1))) for w in around]
        assert np.abs(pair[0] - pair[1]).max() < 1e-6


def test_dressed_points_lie_near_the_skin_of_the_same_place(posed_of, template):
    posed = posed_of(0, "rest")
    rest, body = posed.parts[0].rest, fine_body()
    bare = dataclasses.replace(posed.parts[0], vertices=rest)
    mean = dataclasses.replace(posed, parts=(bare, *posed.parts[1:]))
    generator = np.random.default_rng(1)
    face = generator.integers(0, body.num_coarse, 1000)
    weights = generator.dirichlet(np.ones(3), 1000)
    points = SurfacePoints(np.asarray(template.faces)[face], np.float32(weights))
    expected = np.asarray(surface_positions(points, template.template))
    found = dressed_points(mean, face, weights)
    assert np.linalg.norm(found - expected, axis=1).max() < 8e-3


def test_pictures_of_correspondences_name_parts_and_texture(shot, template):
    picture, view = encode_iuv(shot.view), shot.view
    assert picture.shape == (shot.size, shot.size, 3) and picture.dtype == np.uint8
    seen = view.face >= 0
    np.testing.assert_array_equal(picture[..., 0] > 0, seen)
    assert not picture[~seen].any() and picture[..., 0].max() <= 24
    faces, joints = np.asarray(template.faces), np.asarray(template.weights).argmax(0)
    allowed = 1 + joints[faces[view.face[seen]]]
    assert (picture[seen, :1] == allowed).any(1).all(), (
        "the joint of one of its corners"
    )
    uv = np.asarray(template.uv)[np.asarray(template.faces_uv)[view.face[seen]]]
    low, high = uv.min(1), uv.max(1)
    found = picture[seen, 1:] / 255
    assert (found >= low - 0.003).all() and (found <= high + 0.003).all()


def test_texture_coordinates_lead_back_to_the_place(shot, template):
    """The nearest texel of the same part lies near the point on the body."""
    picture, view = encode_iuv(shot.view), shot.view
    row, column = (axis[::9] for axis in np.nonzero(view.face >= 0))
    faces = np.asarray(template.faces)
    corners = np.asarray(template.template)[faces[view.face[row, column]]]
    truth = (view.barycentric[row, column][..., None] * corners).sum(1)
    table_uv = np.asarray(template.uv)
    vertex = np.zeros(len(table_uv), int)
    vertex[np.asarray(template.faces_uv).reshape(-1)] = faces.reshape(-1)
    difference = picture[row, column, 1:][:, None] / 255 - table_uv[None]
    nearest = (difference**2).sum(-1).argmin(1)
    found = np.asarray(template.template)[vertex[nearest]]
    assert np.median(np.linalg.norm(found - truth, axis=1)) < 0.02


def test_an_empty_view_has_an_empty_picture(empty):
    assert not encode_iuv(empty).any()
