"""People in poses: skinned as the body model is, closed parts, fabric over legs."""

import dataclasses

import jax
import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from volhuman.body.model import BodyParams, pose_body
from volhuman.body.pose_sampler import posed_frames, sample_pose
from volhuman.body.template import load_template
from volhuman.geometry.voxelize import voxelize
from volhuman.people.drape import NUM_MERIDIANS
from volhuman.people.person import (
    make_person,
    pose_person,
    sample_person,
    skinned,
    skinning_weights,
)
from volhuman.people.poses import sample_posed_person
from volhuman.people.recipe import LABEL
from volhuman.people.surface import fine_body

SEEDS = (0, 1, 4, 12, 43, 49)


@pytest.fixture(scope="module")
def reference(person_of, poses):
    """The bare body of `body.model` with a person's shape and a pose."""
    body = load_template()

    def pose(seed, name):
        params = BodyParams(
            pose=np.float32(poses[name]),
            shape=np.float32(person_of(seed).shape),
            scales=np.ones(24, np.float32),
            translation=np.zeros(3, np.float32),
        )
        return jax.jit(pose_body)(body, params)

    return pose


@pytest.mark.parametrize("name", ["rest", "bent", "wild"])
@pytest.mark.parametrize("seed", [0, 4])
def test_joints_and_skin_are_those_of_the_body_model(posed_of, reference, seed, name):
    posed, expected = posed_of(seed, name), reference(seed, name)
    np.testing.assert_allclose(posed.joints, expected.joints, atol=1e-5)
    every = np.arange(load_template().num_vertices)
    np.testing.assert_allclose(skinned(posed, every), expected.vertices, atol=1e-5)
    some = np.array([5, 5, 6000])
    np.testing.assert_array_equal(skinned(posed, some), skinned(posed, every)[some])


@pytest.mark.parametrize("seed", SEEDS)
def test_turning_about_the_vertical_moves_all_parts_as_one(person_of, poses, seed):
    person, pose = person_of(seed), poses["bent"].copy()
    before = pose_person(person, pose)
    pose[0] = [0, 1.3, 0]
    after = pose_person(person, pose)
    pelvis = before.joints[0]
    turn = Rotation.from_rotvec(pose[0]).as_matrix()
    for old, new in zip(before.parts, after.parts, strict=True):
        expected = (old.vertices - pelvis) @ turn.T + pelvis
        np.testing.assert_allclose(new.vertices, expected, atol=1e-9)
        np.testing.assert_array_equal(new.faces, old.faces)
    expected = (before.joints - pelvis) @ turn.T + pelvis
    np.testing.assert_allclose(after.joints, expected, atol=1e-9)


def test_lying_down_changes_how_cloth_hangs_and_little_else(person_of, poses):
    person = person_of(0)
    upright, pose = pose_person(person, poses["rest"]), poses["rest"].copy()
    pose[0] = [-np.pi / 2, 0, 0]
    lying = pose_person(person, pose)
    pelvis, turn = upright.joints[0], Rotation.from_rotvec(pose[0]).as_matrix()
    back = (lying.parts[0].vertices - pelvis) @ turn + pelvis
    moved = np.linalg.norm(back - upright.parts[0].vertices, axis=1)
    assert 0 < moved.max() < person.surface.slack.max() * 1.1
    assert not moved[person.surface.slack == 0].max() > 1e-9


def test_the_pelvis_stays_where_the_shape_puts_it(person_of, posed_of):
    for name in ("rest", "bent", "wild"):
        np.testing.assert_allclose(
            posed_of(4, name).joints[0], person_of(4).surface.joints[0], atol=1e-12
        )


@pytest.mark.parametrize(
    "shape", [(24, 4), (23, 3), (72,), (1, 24, 3), ()], ids=lambda shape: str(shape)
)
def test_poses_of_another_shape_are_refused(person_of, shape):
    with pytest.raises(ValueError, match=r"pose has shape .*expected \(24, 3\)"):
        pose_person(person_of(0), np.zeros(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_poses_that_are_not_finite_are_refused(person_of, value):
    pose = np.zeros((24, 3))
    pose[7, 1] = value
    with pytest.raises(ValueError, match=f"holds {value}.*finite"):
        pose_person(person_of(0), pose)


@pytest.mark.parametrize("name", ["rest", "bent", "wild"])
@pytest.mark.parametrize("seed", SEEDS)
def test_every_part_is_closed_with_its_inside_in(posed_of, seed, name):
    posed = posed_of(seed, name)
    for part in posed.parts:
        mesh = trimesh.Trimesh(part.vertices, part.faces, process=False)
        assert np.isfinite(part.vertices).all(), part.name
        assert mesh.is_watertight and mesh.is_winding_consistent, part.name
        assert mesh.volume > 1e-4, part.name
        assert part.rest.shape == part.vertices.shape
        assert part.shade.shape == (len(part.vertices),) and part.shade.min() > 0
        normals = part.normals
        np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
    expected = ["body", *(h.label for h in posed.person.recipe.hangings)]
    expected += ["hair"] * (posed.person.hair is not None)
    assert [part.name for part in posed.parts] == expected
    assert all(name == "body" or name in LABEL for name in expected)


def test_the_union_numbers_its_faces_after_the_parts(posed_of):
    posed = posed_of(0, "bent")
    assert len(posed.parts) > 2
    triangles = posed.vertices[posed.faces]
    expected = [part.vertices[part.faces] for part in posed.parts]
    np.testing.assert_array_equal(triangles, np.concatenate(expected))
    assert posed.ground == posed.vertices[:, 1].min()


@pytest.mark.parametrize("seed", [4, 49])
def test_occupancy_equals_the_volume_of_a_part(posed_of, seed):
    """In T-pose, where the body touches itself at most between the thighs."""
    for part in posed_of(seed, "rest").parts:
        if part.name == "hair":  # its locks overlap by design
            continue
        low, high = part.vertices.min(0) - 0.01, part.vertices.max(0) + 0.01
        box = np.float32(low), np.float32(high)
        occupied = jax.jit(voxelize, static_argnums=2)(
            np.float32(part.vertices), part.faces, (128, 128, 128), box=box
        )
        volume = np.asarray(occupied).sum() * np.prod((high - low) / 128)
        mesh = trimesh.Trimesh(part.vertices, part.faces, process=False)
        assert volume == pytest.approx(mesh.volume, rel=0.006)


@pytest.mark.parametrize("seed", SEEDS)
def test_skinning_weights_are_shares_for_every_vertex(person_of, posed_of, seed):
    for part in posed_of(seed, "rest").parts:
        weights = skinning_weights(person_of(seed), part)
        assert weights.shape == (len(part.vertices), 24)
        assert weights.min() >= 0
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-9)


def test_a_skinned_skirt_moves_with_hips_and_legs(person_of, posed_of, recipe_with):
    seed = recipe_with(lambda r: r.lower is None).seed
    person, posed = person_of(seed), posed_of(seed, "rest")
    part = next(part for part in posed.parts if part.name == "skirt")
    weights = skinning_weights(person, part)
    arms_and_head = [12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23]
    assert not weights[:, arms_and_head].any()
    hem = part.rest[:, 1] < part.rest[:, 1].min() + 0.1
    left, right = hem & (part.rest[:, 0] > 0.1), hem & (part.rest[:, 0] < -0.1)
    assert (weights[left][:, [1, 4, 7]].sum(1) > 0.6).all()
    assert (weights[right][:, [2, 5, 8]].sum(1) > 0.6).all()


def test_fabric_is_named_by_where_it_hangs_on_the_mean_body(person_of, posed_of):
    person = person_of(0)
    mean = make_person(dataclasses.replace(person.recipe, shape=(0.0,) * 10))
    assert len(person.tube_rest) == len(person.recipe.hangings) > 0
    for own, average in zip(person.tube_rest, mean.tube_rest):
        np.testing.assert_array_equal(own, average)
    for part in posed_of(0, "bent").parts:
        if part.name not in ("body", "hair"):
            np.testing.assert_array_equal(part.rest, person.tube_rest[part.number])
            np.testing.assert_allclose(part.rest[:, 1].max(), 0.13, atol=0.06)


def test_a_seed_gives_one_person(person_of):
    again = sample_person(12)
    for old, new in zip(
        pose_person(person_of(12), np.zeros((24, 3))).parts,
        pose_person(again, np.zeros((24, 3))).parts,
        strict=True,
    ):
        np.testing.assert_array_equal(old.vertices, new.vertices)


def test_bent_limbs_fold_their_clothes(person_of, poses):
    """Posing is more than skinning: the same person with stiff cloth differs."""
    person = person_of(0)
    surface = person.surface
    stiff = dataclasses.replace(
        person, surface=dataclasses.replace(surface, wrinkle=0 * surface.wrinkle)
    )
    for name, expected in (("rest", 0.0), ("bent", 0.004)):
        pair = [pose_person(one, poses[name]).parts[0] for one in (person, stiff)]
        moved = np.linalg.norm(pair[0].vertices - pair[1].vertices, axis=1).max()
        assert moved <= 1e-7 if expected == 0 else moved > expected


def pierced(posed, part):
    """How far each vertex of the legs stands out of a hanging garment, metres.

    Looked at within 35 mm of the fabric; not where it comes out of the garment above,
    not at the hem, where legs leave it, and not above the waist.
    """
    hanging = posed.person.recipe.hangings[part.number]
    rest, count = fine_body().rest, len(part.vertices) - NUM_MERIDIANS - 2
    legs = (rest[:, 1] < hanging.top) & (np.abs(rest[:, 0]) < 0.3)
    points = posed.parts[0].vertices[legs]
    distance, nearest = cKDTree(part.vertices[:count]).query(points)
    offset = points - part.vertices[nearest]
    outside = (offset * part.normals[nearest]).sum(1)
    ring, last = nearest // NUM_MERIDIANS, count // NUM_MERIDIANS - 1
    from_top = ring / last * hanging.length
    looked_at = (from_top > 0.07) & (from_top < hanging.length - 0.06)
    joints, rotations = posed_frames(posed.pose, posed.person.surface.joints)
    height = ((points - joints[0]) @ rotations[0])[:, 1]
    looked_at &= (height < hanging.top - 0.05) & (distance < 0.035)
    assert looked_at.sum() > 50
    return np.where(looked_at, outside, 0)


@pytest.mark.parametrize("name", ["rest", "standing", "bent"])
@pytest.mark.parametrize("seed", [0, 4, 43])
def test_legs_stay_inside_hanging_fabric(posed_of, seed, name):
    posed = posed_of(seed, name)
    hanging = [part for part in posed.parts if part.name not in ("body", "hair")]
    assert hanging
    for part in hanging:
        assert pierced(posed, part).max() < 2e-3


def test_wild_poses_keep_the_legs_inside_long_skirts(person_of, recipe_with):
    recipe = recipe_with(lambda r: r.lower is None and r.hangings[0].length > 0.85)
    person = person_of(recipe.seed)
    for number in range(6):
        generator = np.random.default_rng(number)
        posed = sample_posed_person(generator, person, kind="wild")
        part = next(part for part in posed.parts if part.name == "skirt")
        # A few vertices lie in the folds of fabric that is pushed together.
        assert (pierced(posed, part) > 0.008).sum() <= 12, f"generator {number}"


def test_wild_poses_do_not_tear_the_dressed_surface(person_of):
    """Edges stay within what skinning stretches them to."""
    person, body = person_of(0), fine_body()
    for number in range(4):
        generator = np.random.default_rng(number)
        pose = sample_pose(generator, person.surface.joints, "wild")
        part = pose_person(person, pose).parts[0]
        edges = np.concatenate([body.faces[:, [0, 1]], body.faces[:, [1, 2]]])
        length = np.linalg.norm(np.diff(part.vertices[edges], axis=1)[:, 0], axis=1)
        assert length.max() < 0.12 and np.median(length) < 0.015
