"""The GLB is read back by a small parser here, and its skinning evaluated by loops."""

import dataclasses
import json
import struct
from pathlib import Path
from unittest import mock

import jax.numpy as jnp
import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation, Slerp

from volhuman.body.model import BodyParams, pose_body, rest_params, take_vertices
from volhuman.body.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS
from volhuman.body.template import load_template
from volhuman.errors import InputError
from volhuman.geometry.mesh import vertex_normals
from volhuman.render.glb import export_glb

COMPONENTS = {5121: np.dtype("u1"), 5125: np.dtype("<u4"), 5126: np.dtype("<f4")}
COLOURS = np.random.default_rng(1).uniform(0, 1, (6890, 3))
MOTION = np.random.default_rng(5).normal(0, 0.6, (4, NUM_JOINTS, 3))
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Glb:
    """The two chunks of a file, and what glTF says that they mean."""

    def __init__(self, path):
        self.path, data = path, path.read_bytes()
        *header, length, kind = struct.unpack_from("<4sIII4s", data)
        assert header == [b"glTF", 2, len(data)]
        assert (kind, length % 4) == (b"JSON", 0)
        self.tree = json.loads(data[20 : 20 + length], parse_constant=pytest.fail)
        self.nodes = self.tree["nodes"]
        self.bin = data[28 + length :]
        header = struct.unpack_from("<I4s", data, 20 + length)
        assert header == (len(self.bin), b"BIN\0")

    def array(self, index):
        accessor = self.tree["accessors"][index]
        view = self.tree["bufferViews"][accessor["bufferView"]]
        dtype, width = COMPONENTS[accessor["componentType"]], WIDTHS[accessor["type"]]
        count = accessor["count"] * width
        assert count * dtype.itemsize <= view["byteLength"]
        flat = np.frombuffer(self.bin, dtype, count, view["byteOffset"])
        return flat.reshape(-1, width) if width > 1 else flat

    @property
    def primitive(self):
        return self.tree["meshes"][0]["primitives"][0]

    def attribute(self, name):
        return self.array(self.primitive["attributes"][name])

    @property
    def faces(self):
        return self.array(self.primitive["indices"]).reshape(-1, 3)

    def globals(self, rotations=None):
        """Global matrices of all nodes; `rotations` by node overrides the file's."""
        matrices = {}

        def visit(index, parent):
            node = self.nodes[index]
            rotation = (rotations or {}).get(index, node.get("rotation", [0, 0, 0, 1]))
            local = np.eye(4)
            local[:3, :3] = Rotation.from_quat(rotation).as_matrix()
            local[:3, :3] *= node.get("scale", [1, 1, 1])
            local[:3, 3] = node.get("translation", [0, 0, 0])
            assert index not in matrices  # A tree: no node has two parents.
            matrices[index] = parent @ local
            for child in node.get("children", []):
                visit(child, matrices[index])

        for root in self.tree["scenes"][self.tree["scene"]]["nodes"]:
            visit(root, np.eye(4))
        return matrices

    def skinned(self, rotations=None):
        """Vertices `(C, 3)` by the skinning of the specification."""
        skin = self.tree["skins"][0]
        inverse_bind = self.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4)
        matrices = self.globals(rotations)
        pairs = zip(skin["joints"], inverse_bind)
        joint_matrices = np.stack([matrices[node] @ bind.T for node, bind in pairs])
        positions = self.attribute("POSITION").astype(np.float64)
        positions = np.concatenate([positions, np.ones((len(positions), 1))], axis=1)
        result = np.zeros((len(positions), 4))
        joints, weights = self.attribute("JOINTS_0"), self.attribute("WEIGHTS_0")
        for slot in range(4):
            moved = np.einsum("cij,cj->ci", joint_matrices[joints[:, slot]], positions)
            result += weights[:, slot, None] * moved
        return result[:, :3]

    def sampled(self, time):
        """Rotation by node of the animation at some time, linear (slerp)."""
        animation = self.tree["animations"][0]
        rotations = {}
        for channel in animation["channels"]:
            sampler = animation["samplers"][channel["sampler"]]
            times = self.array(sampler["input"]).astype(np.float64)
            keys = Rotation.from_quat(self.array(sampler["output"]))
            rotation = Slerp(times, keys)(np.clip(time, times[0], times[-1]))
            rotations[channel["target"]["node"]] = rotation.as_quat()
        return rotations


def random_params(model, seed=0, scaled=True):
    random = np.random.default_rng(seed)
    scales = random.uniform(0.7, 1.4, NUM_JOINTS) if scaled else np.ones(NUM_JOINTS)
    return BodyParams(
        pose=jnp.asarray(random.normal(0, 0.5, (NUM_JOINTS, 3))),
        shape=jnp.asarray(random.normal(0, 1, model.num_shape)),
        scales=jnp.asarray(scales),
        translation=jnp.asarray(random.normal(0, 1, 3)),
    )


def corner_vertices(model):
    """Vertex numbers of the corners: each (vertex, texture coordinate) once, sorted."""
    if model.uv is None:
        return np.unique(np.asarray(model.faces))
    pairs = zip(model.faces.reshape(-1).tolist(), model.faces_uv.reshape(-1).tolist())
    return np.array([vertex for vertex, _ in sorted(set(pairs))])


def posed_corners(model, params):
    return np.asarray(pose_body(model, params).vertices)[corner_vertices(model)]


def written(folder, model, params=None, **options):
    export_glb(folder / "a.glb", model, params or rest_params(model), **options)
    return Glb(folder / "a.glb")


def assert_close(found, expected, tolerance):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@pytest.fixture(scope="module")
def model():
    return load_template()


@pytest.fixture(scope="module")
def plain_model(model):
    return dataclasses.replace(model, uv=None, faces_uv=None)


@pytest.fixture(scope="module")
def params(model):
    return random_params(model)


@pytest.fixture(scope="module")
def full(tmp_path_factory, model, params):
    folder = tmp_path_factory.mktemp("glb")
    return written(folder, model, params, colours=COLOURS, motion=MOTION, rate=24.0)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_viewer_shows_what_pose_body_computes(model, tmp_path, seed, scaled):
    params = random_params(model, seed, scaled)
    shown = written(tmp_path, model, params).skinned()
    assert_close(shown, posed_corners(model, params), 1e-5)


def test_nodes_are_posed_and_positions_are_at_rest(model, params, full):
    matrices = full.globals()
    posed = pose_body(model, params)
    for joint in range(NUM_JOINTS):
        for node in (2 * joint, 2 * joint + 1):
            assert_close(matrices[node][:3, 3], posed.joints[joint], 2e-6)
        linear = posed.transforms[joint, :, :3]
        assert_close(matrices[2 * joint + 1][:3, :3], linear, 2e-6)
    rest = dataclasses.replace(rest_params(model), shape=params.shape)
    assert_close(full.attribute("POSITION"), posed_corners(model, rest), 2e-6)


@pytest.mark.parametrize("frame", range(4))
def test_key_frames_are_the_poses_of_the_motion(model, params, full, frame):
    moved = posed_corners(model, dataclasses.replace(params, pose=MOTION[frame]))
    assert_close(full.skinned(full.sampled(frame / 24.0)), moved, 1e-5)


def test_animation_turns_the_short_way(model, tmp_path):
    # The angle passes pi, 2 pi and 3 pi, where quaternions change sign.
    motion = np.zeros((41, NUM_JOINTS, 3))
    motion[:, :, 1] = np.linspace(0, 10, 41)[:, None]
    # A canonical axis-angle jumps from +pi to -pi.
    motion[:, 5] = Rotation.from_rotvec(motion[:, 5]).as_rotvec()
    glb = written(tmp_path, model, motion=motion, rate=10.0)
    (animation,) = glb.tree["animations"]
    assert [channel["target"] for channel in animation["channels"]] == [
        {"node": node, "path": "rotation"} for node in range(0, 48, 2)
    ]
    for sampler in animation["samplers"]:
        assert sampler["interpolation"] == "LINEAR"
        quaternions = glb.array(sampler["output"])
        assert ((quaternions[1:] * quaternions[:-1]).sum(1) > 0.9).all()
        assert_close(glb.array(sampler["input"]), np.arange(41) / 10, 1e-6)
        expected = Rotation.from_rotvec(motion[:, 0]).as_matrix()
        assert_close(Rotation.from_quat(quaternions).as_matrix(), expected, 1e-6)


def test_accessors_and_views_are_valid(full):
    tree = full.tree
    assert tree["buffers"] == [{"byteLength": len(full.bin)}]
    end = 0
    for view in tree["bufferViews"]:
        assert (view["buffer"], view["byteOffset"], end % 4) == (0, end, 0)
        end += view["byteLength"]
    assert end == len(full.bin)
    views = [accessor["bufferView"] for accessor in tree["accessors"]]
    assert sorted(views) == list(range(len(tree["bufferViews"])))
    for index, accessor in enumerate(tree["accessors"]):
        array = full.array(index)
        assert accessor.get("byteOffset", 0) == 0 and np.isfinite(array).all()
        assert len(array) == accessor["count"] > 0
        for bound, reduce in (("min", np.min), ("max", np.max)):
            if bound in accessor:
                found = np.atleast_1d(reduce(array, axis=0)).astype(float)
                assert found.tolist() == accessor[bound]
    times = tree["animations"][0]["samplers"][0]["input"]
    bounded = {full.primitive["attributes"]["POSITION"], times}
    assert all({"min", "max"} <= set(tree["accessors"][i]) for i in bounded)


def test_vertex_attributes_are_valid(full):
    expected = {"POSITION", "NORMAL", "TEXCOORD_0", "COLOR_0", "JOINTS_0", "WEIGHTS_0"}
    assert set(full.primitive["attributes"]) == expected
    assert {len(full.attribute(name)) for name in expected} == {7496}
    assert full.faces.max() == 7495
    joints, weights = full.attribute("JOINTS_0"), full.attribute("WEIGHTS_0")
    assert joints.dtype == np.uint8 and joints.max() < NUM_JOINTS
    assert (joints[weights == 0] == 0).all() and (weights >= 0).all()
    assert_close(weights.astype(float).sum(1), 1, 2e-7)
    assert_close(np.linalg.norm(full.attribute("NORMAL"), axis=1), 1, 1e-6)


def test_nodes_are_the_joint_tree_with_a_segment_each(full):
    nodes, (skin,) = full.nodes, full.tree["skins"]
    segments = [f"{name}_segment" for name in JOINT_NAMES]
    names = [node["name"] for node in nodes]
    assert names[0:-1:2] == list(JOINT_NAMES) and names[1::2] == segments
    assert [names[node] for node in skin["joints"]] == segments
    parent = {child: i for i, n in enumerate(nodes) for child in n.get("children", [])}
    assert [parent[2 * joint] // 2 for joint in range(1, 24)] == PARENTS[1:].tolist()
    assert [parent[node] for node in skin["joints"]] == list(range(0, 48, 2))
    # One root of the skeleton; the mesh beside it, as the specification advises.
    assert sorted(set(range(len(nodes))) - set(parent)) == [0, 48]
    assert full.tree["scenes"] == [{"nodes": [0, 48]}] and skin["skeleton"] == 0
    assert nodes[48] == {"name": "makehuman-cc0", "mesh": 0, "skin": 0}


def test_texture_coordinates_and_faces_are_the_models(model, full):
    faces = full.faces
    assert np.array_equal(corner_vertices(model)[faces], np.asarray(model.faces))
    uv = np.asarray(model.uv)[np.asarray(model.faces_uv)]
    # In glTF v points down.
    expected = np.stack([uv[..., 0], 1 - uv[..., 1]], axis=-1)
    assert_close(full.attribute("TEXCOORD_0")[faces], expected, 1e-6)


def test_seams_do_not_split_the_normals(model, full):
    corners = corner_vertices(model)
    vertices = jnp.zeros((model.num_vertices, 3))
    vertices = vertices.at[corners].set(full.attribute("POSITION"))
    expected = np.asarray(vertex_normals(vertices, model.faces))[corners]
    assert_close(full.attribute("NORMAL"), expected, 1e-4)


def test_a_body_without_texture_coordinates_and_colours(plain_model, tmp_path):
    params = random_params(plain_model, 3)
    glb = written(tmp_path, plain_model, params)
    assert not {"TEXCOORD_0", "COLOR_0"} & set(glb.primitive["attributes"])
    assert np.array_equal(glb.faces, np.asarray(plain_model.faces))
    assert_close(glb.skinned(), pose_body(plain_model, params).vertices, 1e-5)
    material = glb.tree["materials"][glb.primitive["material"]]["pbrMetallicRoughness"]
    assert (material["metallicFactor"], material["roughnessFactor"]) == (0, 0.9)
    assert all(0.2 < channel <= 1 for channel in material["baseColorFactor"])


def test_colours_are_linear_and_multiply_white(model, tmp_path):
    # 0.5 in sRGB is 21.4 % of the light, the dark end is a straight line, and rounding
    # above 1 is cut off.
    srgb = np.array([0, 0.02, 0.5, 1, 1 + 1e-4])
    linear = np.array([0, 0.02 / 12.92, 0.2140411, 1, 1])
    levels = np.random.default_rng(2).integers(0, len(srgb), (model.num_vertices, 3))
    glb = written(tmp_path, model, colours=srgb[levels])
    expected = linear[levels][corner_vertices(model)]
    assert_close(glb.attribute("COLOR_0"), expected, 1e-6)
    material = glb.tree["materials"][glb.primitive["material"]]
    assert material["pbrMetallicRoughness"]["baseColorFactor"] == [1, 1, 1, 1]


def test_the_four_largest_weights_are_kept(plain_model, tmp_path):
    weights = np.full((NUM_JOINTS, plain_model.num_vertices), 0.001, np.float32)
    weights[[3, 6, 9, 12]] = np.array([[0.4], [0.3], [0.2], [0.1]]) * 0.98
    glb = written(tmp_path, dataclasses.replace(plain_model, weights=weights))
    assert (glb.attribute("JOINTS_0") == [3, 6, 9, 12]).all()
    expected = np.tile([0.4, 0.3, 0.2, 0.1], (weights.shape[1], 1))
    assert_close(glb.attribute("WEIGHTS_0"), expected, 1e-6)


def test_pose_blend_shapes_are_ignored(plain_model, tmp_path):
    rows = np.random.default_rng(0).normal(0, 0.01, (207, 3, plain_model.num_vertices))
    basis = jnp.concatenate([plain_model.basis, jnp.asarray(rows, jnp.float32)])
    params = random_params(plain_model)
    without = written(tmp_path, plain_model, params)
    blended = written(tmp_path, dataclasses.replace(plain_model, basis=basis), params)
    assert (without.tree, without.bin) == (blended.tree, blended.bin)


def test_degenerate_faces_and_loose_vertices(plain_model, tmp_path):
    # Vertices 1 and 2 have a face without area; 0 and those from 6 on have none.
    faces = jnp.array([[1, 1, 2], [3, 4, 5]], jnp.int32)
    model = dataclasses.replace(plain_model, faces=faces)
    glb = written(tmp_path, model)
    assert glb.faces.tolist() == [[0, 0, 1], [2, 3, 4]]
    assert_close(glb.attribute("POSITION"), model.template[1:6], 1e-7)
    assert_close(np.linalg.norm(glb.attribute("NORMAL"), axis=1), 1, 1e-6)


def test_trimesh_loads_the_file(model, full):
    scene = trimesh.load(full.path, process=False)
    (mesh,) = scene.geometry.values()
    assert (mesh.vertices.shape, mesh.faces.shape) == ((7496, 3), (13776, 3))
    positions = full.attribute("POSITION")
    assert_close(scene.bounds, [positions.min(0), positions.max(0)], 1e-6)
    # Joined again, the seams close and the surface is the model's.
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    assert len(mesh.vertices) == model.num_vertices and mesh.is_watertight


@pytest.mark.parametrize("name", ['a "b" \\ c.glb', "Jörg 人 \n.glb", "no suffix"])
def test_odd_names_of_files_and_bodies(model, tmp_path, name):
    odd = dataclasses.replace(model, name=name)
    export_glb(tmp_path / name, odd, rest_params(odd))
    glb = Glb(tmp_path / name)
    assert glb.nodes[-1]["name"] == glb.tree["meshes"][0]["name"] == name


def test_same_input_gives_same_bytes(model, params, full, tmp_path):
    path = f"{tmp_path}/other.glb"
    export_glb(path, model, params, colours=COLOURS, motion=MOTION, rate=24.0)
    assert Path(path).read_bytes() == full.path.read_bytes()


def test_a_missing_folder_and_a_body_without_faces_are_refused(model, tmp_path):
    with pytest.raises(InputError, match="nowhere is not a folder"):
        export_glb(tmp_path / "nowhere" / "a.glb", model, rest_params(model))
    with pytest.raises(InputError, match="is a folder"):
        export_glb(tmp_path, model, rest_params(model))
    with pytest.raises(ValueError, match="no faces"):
        written(tmp_path, take_vertices(model, jnp.arange(5)))


def test_a_failed_write_leaves_the_old_file_and_no_other(model, tmp_path, monkeypatch):
    path = tmp_path / "a.glb"
    path.write_bytes(b"old")
    full_disk = OSError(28, "No space left on device")
    monkeypatch.setattr("os.replace", mock.Mock(side_effect=full_disk))
    with pytest.raises(InputError, match=r"a\.glb cannot be written \(No space"):
        export_glb(path, model, rest_params(model))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["pose", "shape", "scales", "translation"])
def test_bad_parameters_are_refused(model, tmp_path, name):
    good = rest_params(model)
    value = getattr(good, name)
    with pytest.raises(InputError, match=f"{name} has values that are not finite"):
        written(tmp_path, model, dataclasses.replace(good, **{name: value * jnp.nan}))
    with pytest.raises(ValueError, match=f"{name} has shape"):
        written(tmp_path, model, dataclasses.replace(good, **{name: value[None]}))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colours": COLOURS * 255}, "outside"),
        ({"colours": COLOURS * np.nan}, "outside"),
        ({"colours": COLOURS[1:]}, "colours has shape"),
        ({"motion": MOTION[:0]}, "one frame or more"),
        ({"motion": MOTION + np.inf}, "finite"),
        ({"motion": MOTION[:, :22]}, "motion has shape"),
        ({"motion": MOTION, "rate": 0.0}, "rate is 0"),
        ({"motion": MOTION, "rate": np.nan}, "rate is nan"),
    ],
)
def test_bad_options_are_refused(model, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        written(tmp_path, model, **options)
