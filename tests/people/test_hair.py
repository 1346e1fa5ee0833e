"""Locks: closed, turned outwards, outside the head, the same each time."""

import dataclasses

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from volhuman.body.skeleton import JOINT_INDEX
from volhuman.people import fields
from volhuman.people.hair import grow_hair, orient_outwards
from volhuman.people.surface import fine_body
from volhuman.people.wardrobe import sample_recipe
from volhuman.render.shading import vertex_normals

STYLES = {
    "short": 0.03,
    "swept": 0.07,
    "curly": 0.06,
    "bob": 0.18,
    "long": 0.35,
    "ponytail": 0.27,
    "bun": 0.0,
}


@pytest.fixture(scope="module")
def body():
    return fine_body()


def head(style, length, seed=3):
    recipe = sample_recipe(seed)
    hair = dataclasses.replace(recipe.hair, style=style, length=length, volume=1.0)
    return dataclasses.replace(recipe, hair=hair, hat=None)


@pytest.fixture(scope="module")
def grown(body):
    """Skin and locks of each style."""

    def grow(recipe):
        skin = body.rest + body.shape_dirs @ np.array(recipe.shape)
        return skin, grow_hair(body, skin, recipe)

    return {style: grow(head(style, length)) for style, length in STYLES.items()}


def locks(mesh):
    """Faces of each connected piece."""
    pieces = trimesh.graph.connected_components(
        mesh.face_adjacency, nodes=np.arange(len(mesh.faces))
    )
    return [mesh.faces[piece] for piece in pieces]


@pytest.mark.parametrize("style", STYLES)
def test_each_lock_is_closed_and_turned_outwards(grown, style):
    _, hair = grown[style]
    mesh = trimesh.Trimesh(hair.vertices, hair.faces, process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent
    pieces = locks(mesh)
    assert len(pieces) > 90
    for faces in pieces:
        a, b, c = (hair.vertices[faces[:, k]] for k in range(3))
        assert (a * np.cross(b, c)).sum() / 6 > 1e-8, "cubic metres, positive"


@pytest.mark.parametrize("style", STYLES)
def test_locks_grow_from_the_scalp_and_stay_outside_the_head(body, grown, style):
    skin, hair = grown[style]
    normals = vertex_normals(skin, body.faces)
    distance, nearest = cKDTree(skin).query(hair.vertices)
    outside = ((hair.vertices - skin[nearest]) * normals[nearest]).sum(1)
    # Roots start under the skin, and a lock that lies on it is half sunk.
    assert outside.min() > -0.013 and (outside > -0.008).mean() > 0.97
    assert np.median(outside) > 0.004
    rooted = np.unique(nearest[distance < 0.006])
    scalp = fields.scalp(body.rest, head(style, STYLES[style]).hair)
    if style not in ("bob", "long", "ponytail"):
        assert (scalp[rooted] > -0.03).mean() > 0.95
    assert (scalp[rooted] > 0).sum() > 100
    covered = cKDTree(hair.vertices).query(skin[scalp > 0.01])[0]
    assert np.quantile(covered, 0.95) < 0.035, "no bald spots"


def test_longer_hair_reaches_lower(grown):
    lowest = {style: hair.vertices[:, 1].min() for style, (_, hair) in grown.items()}
    assert lowest["long"] < lowest["bob"] < lowest["short"]
    assert lowest["ponytail"] < lowest["bun"]
    tail = grown["ponytail"][1].vertices
    assert tail[tail[:, 1].argmin(), 2] < -0.05, "it falls behind"


@pytest.mark.parametrize("style", STYLES)
def test_weights_follow_the_head_and_long_ends_the_chest(grown, style):
    _, hair = grown[style]
    assert hair.weights.shape == (len(hair.vertices), 24)
    np.testing.assert_allclose(hair.weights.sum(1), 1, atol=1e-12)
    with_head = hair.weights[:, JOINT_INDEX["head"]]
    assert (with_head[hair.rest[:, 1] > 0.63] == 1).all()
    assert (np.diff(with_head[np.argsort(hair.rest[:, 1])]) >= -1e-12).all()


@pytest.mark.parametrize("style", STYLES)
def test_rest_coordinates_are_the_hair_moved_to_the_mean_head(body, grown, style):
    skin, hair = grown[style]
    offset = hair.vertices - hair.rest
    assert np.ptp(offset, axis=0).max() < 1e-12
    on_head = body.rest[:, 1] > 0.6
    moved = (skin - body.rest)[on_head]
    assert (offset[0] > moved.min(0)).all() and (offset[0] < moved.max(0)).all()
    assert hair.shade.shape == (len(hair.vertices),)
    assert hair.shade.min() > 0.4 and hair.shade.max() < 1.6


def test_the_same_recipe_grows_the_same_hair(body, grown):
    skin, hair = grown["curly"]
    again = grow_hair(body, skin, head("curly", STYLES["curly"]))
    for field in dataclasses.fields(hair):
        np.testing.assert_array_equal(
            getattr(again, field.name), getattr(hair, field.name)
        )
    other = dataclasses.replace(head("curly", STYLES["curly"]), seed=4)
    assert np.abs(grow_hair(body, skin, other).vertices - hair.vertices).max() > 0.01


@pytest.mark.parametrize("style", ["bald", "buzz"])
def test_shorn_heads_have_no_locks(body, style):
    assert grow_hair(body, body.rest, head(style, 0.0)) is None


def test_a_cap_hides_the_locks(body):
    capped = dataclasses.replace(head("short", 0.03), hat=(0.1, 0.2, 0.3))
    assert grow_hair(body, body.rest, capped) is None


def test_a_mesh_that_is_inside_out_is_turned():
    ball = trimesh.creation.icosphere(subdivisions=1)
    faces = np.array(ball.faces)[:, ::-1].copy()
    orient_outwards(np.array(ball.vertices), faces)
    assert trimesh.Trimesh(ball.vertices, faces, process=False).volume > 0
    kept = faces.copy()
    orient_outwards(np.array(ball.vertices), faces)
    np.testing.assert_array_equal(faces, kept)
