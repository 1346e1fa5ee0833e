"""The embedded body as the package loads it, and bodies built from other rigs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trimesh

from volhuman.body.model import rest_joints
from volhuman.body.skeleton import JOINT_INDEX, MIRROR, NUM_JOINTS, PARENTS
from volhuman.body.template import TEMPLATE_NAME, build_body, load_smpl, load_template
from volhuman.errors import InputError


@pytest.fixture(scope="module")
def body():
    return load_template()


def test_is_loaded_once_and_says_what_it_is(body):
    assert load_template() is body
    assert body.name == TEMPLATE_NAME == "makehuman-cc0"
    assert (body.num_vertices, body.num_shape) == (6890, 10)
    assert body.basis.shape == (11, 3, 6890) and body.weights.shape == (24, 6890)
    assert body.faces.shape == (13776, 3) and body.faces.dtype == jnp.int32
    assert body.basis.dtype == body.weights.dtype == body.joints.dtype == jnp.float32


def test_is_a_closed_person_in_metres_who_faces_the_front(body):
    mesh = trimesh.Trimesh(body.template, body.faces, process=False)
    assert mesh.is_watertight and mesh.body_count == 1
    assert 0.04 < mesh.volume < 0.12  # cubic metres, and faces point outwards
    size = np.ptp(mesh.vertices, axis=0)
    assert 1.5 < size[1] < 2.0 and 1.4 < size[0] < 2.0 and size[2] < 0.6
    joints = np.asarray(body.joints)
    np.testing.assert_allclose(joints[0], 0, atol=1e-6)  # the pelvis
    assert joints[JOINT_INDEX["left_wrist"], 0] > 0.5
    assert joints[JOINT_INDEX["head"], 1] > 0.5
    assert joints[JOINT_INDEX["left_foot"], 2] > joints[JOINT_INDEX["left_ankle"], 2]
    assert mesh.contains(joints).all(), "joints lie inside the body"


def test_skinning_weights_are_shares_that_follow_the_joints(body):
    weights = np.asarray(body.weights)
    np.testing.assert_allclose(weights.sum(0), 1, atol=1e-6)
    assert (weights >= 0).all() and (weights > 0).any(1).all()
    assert (weights > 0).sum(0).max() <= 4
    # The vertices that a joint moves most lie near its bone.
    for joint in range(1, NUM_JOINTS):
        own = np.asarray(body.template)[weights.argmax(0) == joint]
        if len(own):
            offset = np.linalg.norm(own - np.asarray(body.joints)[joint], axis=1)
            assert np.median(offset) < 0.3


def test_shape_components_are_orderly(body):
    """Joints and vertices change together, mirrored sides by the same amount."""
    shape = jnp.zeros(10).at[0].set(2.0)
    changed = np.asarray(rest_joints(body, shape)) - np.asarray(body.joints)
    vertices = np.asarray(body.basis[1]).T * 2
    assert np.abs(vertices).max() > 0.01 and np.abs(changed).max() > 0.005
    np.testing.assert_allclose(changed[MIRROR] * [-1, 1, 1], changed, atol=1e-3)
    sizes = np.square(body.basis[1:]).sum((1, 2))
    assert (np.diff(sizes) <= 1e-6 * sizes[0]).all()


def test_a_body_is_a_pytree_that_jit_takes(body):
    leaves, structure = jax.tree.flatten(body)
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)
    again = jax.tree.unflatten(structure, leaves)
    assert again.name == body.name and again.landmark_names == body.landmark_names
    assert jax.jit(lambda b: b.template.sum())(body).shape == ()


def test_a_first_load_while_compiling_keeps_arrays_and_no_tracers():
    load_template.cache_clear()
    jax.jit(lambda x: load_template().joints.sum() + x)(1.0)
    assert not isinstance(load_template().joints, jax.core.Tracer)


def random_rig(seed=0, vertices=30, shapes=3):
    generator = np.random.default_rng(seed)
    weights = generator.dirichlet(np.ones(NUM_JOINTS), vertices)
    return {
        "template": generator.normal(size=(vertices, 3)),
        "shape_dirs": generator.normal(size=(vertices, 3, shapes)),
        "pose_dirs": generator.normal(size=(vertices, 3, 207)),
        "weights": weights,
        "joints": generator.normal(size=(NUM_JOINTS, 3)),
        "joint_dirs": generator.normal(size=(NUM_JOINTS, 3, shapes)),
        "faces": np.array([[0, 1, 2]], np.uint32),
    }


def test_a_built_body_holds_the_arrays_it_was_given():
    rig = random_rig()
    body = build_body(name="rig", **rig, landmarks={"nose": 4, "head_top": 7})
    np.testing.assert_allclose(body.template, rig["template"], rtol=1e-6)
    np.testing.assert_allclose(
        np.asarray(body.basis[1:4]).transpose(2, 1, 0), rig["shape_dirs"], rtol=1e-6
    )
    np.testing.assert_allclose(
        np.asarray(body.basis[4:]).transpose(2, 1, 0), rig["pose_dirs"], rtol=1e-6
    )
    np.testing.assert_allclose(body.weights.T, rig["weights"], rtol=1e-6)
    assert (body.num_vertices, body.num_shape) == (30, 3)
    assert body.landmark_names == ("nose", "head_top")
    np.testing.assert_array_equal(body.landmark_vertices, [4, 7])
    assert body.uv is None and body.mirror is None
    bare = build_body(name="rig", **{**rig, "pose_dirs": None})
    assert bare.basis.shape[0] == 4 and bare.landmark_names == ()


def smpl_file(path, **changes):
    """A synthetic SMPL archive with the published array names."""
    rig = random_rig()
    generator = np.random.default_rng(1)
    parents = PARENTS.astype(np.int64).copy()
    parents[0] = 4294967295
    arrays = {
        "v_template": rig["template"],
        "shapedirs": rig["shape_dirs"],
        "posedirs": rig["pose_dirs"],
        "weights": rig["weights"],
        "J_regressor": generator.dirichlet(np.ones(30), NUM_JOINTS),
        "kintree_table": np.stack([parents, np.arange(NUM_JOINTS)]),
        "f": rig["faces"],
    }
    arrays.update(changes)
    np.savez(path, **arrays)
    return arrays


def test_an_smpl_file_gives_its_arrays_and_regressed_joints(tmp_path):
    arrays = smpl_file(tmp_path / "body.npz")
    body = load_smpl(tmp_path / "body.npz", num_shape=2)
    assert body.name == "smpl" and body.num_shape == 2
    np.testing.assert_allclose(body.template, arrays["v_template"], atol=1e-6)
    shape = np.array([0.7, -1.2])
    shaped = arrays["v_template"] + arrays["shapedirs"][..., :2] @ shape
    np.testing.assert_allclose(
        rest_joints(body, jnp.float32(shape)), arrays["J_regressor"] @ shaped, atol=1e-5
    )
    assert body.landmark_names == ()  # this is not SMPL's mesh


def test_another_joint_tree_is_refused(tmp_path):
    parents = PARENTS.astype(np.int64).copy()
    parents[5], parents[0] = 1, -1
    smpl_file(
        tmp_path / "body.npz", kintree_table=np.stack([parents, np.arange(NUM_JOINTS)])
    )
    with pytest.raises(InputError, match="is not SMPL's"):
        load_smpl(tmp_path / "body.npz", num_shape=2)
