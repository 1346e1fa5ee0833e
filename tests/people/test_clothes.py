"""Dressing: cloth lies outside the skin, only where garments are, layer over layer."""

import dataclasses

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from volhuman.people import fields
from volhuman.people.clothes import dress
from volhuman.people.surface import fine_body
from volhuman.people.wardrobe import sample_recipe
from volhuman.render.shading import vertex_normals

SEEDS = (0, 1, 4, 6, 12, 43, 53)


@pytest.fixture(scope="module")
def body():
    return fine_body()


@pytest.fixture(scope="module")
def dressed(body):
    return {seed: dress(body, sample_recipe(seed)) for seed in SEEDS}


@pytest.fixture(scope="module")
def plain(body):
    """A bare-footed, bald man in a tight tank top and shorts."""
    recipe = sample_recipe(1)
    return dataclasses.replace(
        recipe,
        shape=(0.0,) * 10,
        uppers=(
            dataclasses.replace(
                recipe.uppers[0], kind="tank", sleeve=0.17, hem=0.05, neckline="crew",
                offset=0.004, slack=0.004,
            ),
        ),
        lower=dataclasses.replace(recipe.lower, kind="shorts", waist=0.1, hem=-0.3),
        hangings=(),
        footwear=dataclasses.replace(
            recipe.footwear, kind="bare", top=-0.84, sock_top=-1.0
        ),
        hair=dataclasses.replace(recipe.hair, style="bald", beard=0),
        hat=None,
    )  # fmt: skip


def thickness(body, surface):
    """How far the surface moved along the normals of the skin, and its length."""
    moved = surface.vertices - surface.skin
    along = (moved * vertex_normals(surface.skin, body.faces)).sum(1)
    return along, np.linalg.norm(moved, axis=1)


def depth_inside(skin, faces, points):
    """Signed distance to the skin by its nearest vertex, negative inside."""
    normals = vertex_normals(skin, faces)
    nearest = cKDTree(skin).query(points)[1]
    return ((points - skin[nearest]) * normals[nearest]).sum(1)


@pytest.mark.parametrize("seed", SEEDS)
def test_cloth_lies_outside_the_skin(body, dressed, seed):
    surface = dressed[seed]
    # Where shoes are, the foot was replaced.
    foot = fields.shoe(body.rest, sample_recipe(seed).footwear) > -0.012
    along, _ = thickness(body, surface)
    assert along[~foot].min() >= -1e-9
    depth = depth_inside(surface.skin, body.faces, surface.vertices)
    # Between the buttocks is less room than two layers of cloth.
    cleft = np.abs(body.rest[:, 0]) < 0.005
    assert depth[~foot & ~cleft].min() > -1e-3
    assert depth[~foot].min() > -5e-3


def test_trimesh_finds_no_cloth_under_the_skin(body, dressed):
    surface = dressed[0]
    skin = trimesh.Trimesh(surface.skin, body.faces, process=False)
    chosen = np.random.default_rng(0).choice(
        np.nonzero(body.rest[:, 1] > -0.7)[0], 60, replace=False
    )
    distance = trimesh.proximity.signed_distance(skin, surface.vertices[chosen])
    assert distance.max() < 1e-3, "positive is inside"


@pytest.mark.parametrize("seed", SEEDS)
def test_the_dressed_surface_is_closed_and_finite(body, dressed, seed):
    surface = dressed[seed]
    mesh = trimesh.Trimesh(surface.vertices, body.faces, process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent
    skin = trimesh.Trimesh(surface.skin, body.faces, process=False)
    assert skin.volume < mesh.volume < 2.5 * skin.volume
    for values in (surface.slack, surface.wrinkle):
        assert np.isfinite(values).all() and values.min() >= 0
    assert surface.slack.max() < 0.06 and surface.wrinkle.max() < 0.03


def test_the_skin_is_the_body_of_that_shape(body, dressed):
    for seed in SEEDS:
        shape = np.array(sample_recipe(seed).shape)
        np.testing.assert_allclose(
            dressed[seed].skin, body.rest + body.shape_dirs @ shape, atol=1e-12
        )
        np.testing.assert_allclose(
            dressed[seed].joints, body.joints + body.joint_dirs @ shape, atol=1e-12
        )


def test_nothing_changes_far_from_every_garment(body, plain):
    surface = dress(body, plain)
    top = fields.upper(body.rest, plain.uppers[0])
    shorts = fields.lower(body.rest, plain.lower)
    far = (top < -0.02) & (shorts < -0.02)
    assert 0.4 < far.mean() < 0.9
    np.testing.assert_array_equal(surface.vertices[far], surface.skin[far])
    assert not surface.slack[far].any() and not surface.wrinkle[far].any()
    along, _ = thickness(body, surface)
    for field in (top, shorts):
        assert along[field > 0.02].min() > 0.5e-3


def test_more_offset_makes_thicker_cloth_there_alone(body, plain):
    thin, _ = thickness(body, dress(body, plain))
    padded = dataclasses.replace(plain.uppers[0], offset=0.014)
    thick, _ = thickness(
        body, dress(body, dataclasses.replace(plain, uppers=(padded,)))
    )
    field = fields.upper(body.rest, padded)
    # Folds deepen a little with the thickness.
    assert np.median((thick - thin)[field > 0.03]) == pytest.approx(0.010, abs=2e-3)
    np.testing.assert_array_equal(thick[field < -0.02], thin[field < -0.02])


def test_an_outer_garment_hides_the_inner_one(body, recipe_with):
    recipe = recipe_with(lambda r: len(r.uppers) == 2 and not r.uppers[1].opening)
    both, _ = thickness(body, dress(body, recipe))
    inner = dataclasses.replace(recipe, uppers=recipe.uppers[:1])
    alone, _ = thickness(body, dress(body, inner))
    assert (both - alone).min() >= -1e-12
    chest = fields.upper(body.rest, recipe.uppers[1]) > 0.02
    assert np.median((both - alone)[chest]) > 0.002


def test_under_a_skirt_the_hips_are_covered(body, recipe_with):
    recipe = recipe_with(lambda r: r.lower is None)
    along, _ = thickness(body, dress(body, recipe))
    hips = (np.abs(body.rest[:, 0]) < 0.3) & (np.abs(body.rest[:, 1]) < 0.06)
    assert along[hips].min() > 0.5e-3


def test_bare_feet_are_skin_and_shoes_have_flat_soles(body, plain):
    feet = (body.rest[:, 1] < -0.8) & (np.abs(body.rest[:, 0]) < 0.3)
    bare = dress(body, plain)
    np.testing.assert_array_equal(bare.vertices[feet], bare.skin[feet])
    for kind, top in (("sneaker", -0.842), ("boot", -0.7), ("flat", -0.868)):
        shoes = dataclasses.replace(plain.footwear, kind=kind, top=top)
        shod = dress(body, dataclasses.replace(plain, footwear=shoes))
        lowest = shod.vertices[:, 1].min()
        assert 0.005 < bare.skin[:, 1].min() - lowest < 0.03, "a sole lifts the person"
        for side in (1, -1):
            sole = (shod.vertices[:, 1] < lowest + 1e-3) & (side * body.rest[:, 0] > 0)
            assert np.ptp(shod.vertices[sole, 2]) > 0.15, "from heel to toe"
        above = (body.rest[:, 1] > top + 0.05) | (np.abs(body.rest[:, 0]) > 0.3)
        np.testing.assert_allclose(
            shod.vertices[above], bare.vertices[above], atol=1e-6
        )


def test_hair_and_caps_pad_the_head_and_bald_heads_stay_bare(body, plain):
    head = body.rest[:, 1] > 0.58
    bald = dress(body, plain)
    np.testing.assert_array_equal(bald.vertices[head], bald.skin[head])
    heights = {}
    for style in ("buzz", "short", "bob"):
        hair = dataclasses.replace(plain.hair, style=style, volume=1.0, length=0.03)
        surface = dress(body, dataclasses.replace(plain, hair=hair))
        along, _ = thickness(body, surface)
        scalp = fields.scalp(body.rest, hair)
        heights[style] = np.median(along[scalp > 0.01])
        assert not along[head & (scalp < -0.01)].any()
    assert 0.001 < heights["buzz"] < heights["short"] < heights["bob"] < 0.03
    hair = dataclasses.replace(plain.hair, style="short")
    capped = dress(body, dataclasses.replace(plain, hair=hair, hat=(0.2, 0.2, 0.5)))
    along, _ = thickness(body, capped)
    assert along[fields.scalp(body.rest, hair) > 0.01].min() > 0.01
    assert along.max() > 0.03, "the peak"


def test_dressing_twice_gives_the_same_clothes(body, dressed):
    again = dress(body, sample_recipe(0))
    for field in dataclasses.fields(again):
        np.testing.assert_array_equal(
            getattr(again, field.name), getattr(dressed[0], field.name)
        )
