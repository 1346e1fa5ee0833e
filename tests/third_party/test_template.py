"""Properties of the shipped body template; the wheel it is built from is not needed."""

from pathlib import Path

import numpy as np
import pytest

TEMPLATE = Path(__file__).parents[2] / "volhuman" / "assets" / "template.npz"
MIRROR_X = np.array([-1, 1, 1], np.float32)
NUM_VERTICES, NUM_FACES, NUM_JOINTS, NUM_COMPONENTS = 6890, 13776, 24, 10


@pytest.fixture(scope="module")
def template():
    with np.load(TEMPLATE) as archive:
        return {key: archive[key] for key in archive.files}


@pytest.fixture(scope="module")
def mirror_joints(template):
    swap = {"left": "right", "right": "left"}
    names = template["joint_names"].tolist()
    mirrored = ["_".join(swap.get(w, w) for w in name.split("_")) for name in names]
    return np.array([names.index(name) for name in mirrored])


@pytest.fixture(scope="module")
def landmarks(template):
    positions = template["template"][template["landmark_vertices"]]
    return dict(zip(template["landmark_names"].tolist(), positions))


def directed_edges(faces):
    return np.concatenate([faces[:, [i, (i + 1) % 3]] for i in range(3)]).astype(int)


def dense_weights(template):
    weights = np.zeros((NUM_VERTICES, NUM_JOINTS))
    rows = np.arange(NUM_VERTICES)[:, None]
    np.add.at(weights, (rows, template["weight_joints"]), template["weight_values"])
    return weights


def test_arrays_have_the_documented_shapes_and_types(template):
    expected = {
        "template": ((NUM_VERTICES, 3), np.float32),
        "faces": ((NUM_FACES, 3), np.uint16),
        "faces_uv": ((NUM_FACES, 3), np.uint16),
        "shape_dirs": ((NUM_VERTICES, 3, NUM_COMPONENTS), np.float16),
        "weight_joints": ((NUM_VERTICES, 4), np.uint8),
        "weight_values": ((NUM_VERTICES, 4), np.float16),
        "parents": ((NUM_JOINTS,), np.int8),
        "joints": ((NUM_JOINTS, 3), np.float32),
        "joint_dirs": ((NUM_JOINTS, 3, NUM_COMPONENTS), np.float32),
        "mirror": ((NUM_VERTICES,), np.uint16),
        "makehuman_index": ((NUM_VERTICES,), np.uint16),
        "landmark_vertices": ((14,), np.uint16),
    }
    for key, (shape, dtype) in expected.items():
        assert (template[key].shape, template[key].dtype) == (shape, dtype), key
    strings = {"name", "joint_names", "landmark_names"}
    assert set(template) == set(expected) | strings | {"uv"}
    assert template["name"] == "makehuman-cc0"
    assert len(template["joint_names"]) == NUM_JOINTS
    assert len(template["landmark_names"]) == 14


def test_file_is_small():
    assert TEMPLATE.stat().st_size < 1_000_000


def test_surface_is_closed_and_consistently_wound(template):
    edges = directed_edges(template["faces"])
    unique = np.unique(edges, axis=0)
    # Each directed edge once, and its reverse once: two triangles at every edge.
    assert len(unique) == len(edges)
    np.testing.assert_array_equal(np.unique(edges[:, ::-1], axis=0), unique)


def test_surface_is_one_sphere(template):
    edges = directed_edges(template["faces"])
    assert NUM_VERTICES - len(edges) // 2 + NUM_FACES == 2
    label = np.arange(NUM_VERTICES)
    for _ in range(NUM_VERTICES):
        spread = label.copy()
        np.minimum.at(spread, edges[:, 0], label[edges[:, 1]])
        spread = spread[spread]
        if (spread == label).all():
            break
        label = spread
    assert (label == 0).all()


def test_surface_faces_outwards(template):
    a, b, c = np.moveaxis(template["template"][template["faces"]], 1, 0)
    volume = np.einsum("ij,ij->", a.astype(float), np.cross(b, c)) / 6
    assert 0.04 < volume < 0.09


def test_mirror_is_an_involution_and_maps_faces_to_faces(template):
    mirror = template["mirror"].astype(int)
    np.testing.assert_array_equal(mirror[mirror], np.arange(NUM_VERTICES))

    def oriented(faces):
        start = faces.argmin(axis=1)[:, None]
        faces = np.take_along_axis(faces, (start + np.arange(3)) % 3, axis=1)
        return set(map(tuple, faces.tolist()))

    faces = template["faces"].astype(int)
    assert oriented(faces) == oriented(mirror[faces][:, ::-1])


def test_shape_is_exactly_mirror_symmetric(template):
    mirror = template["mirror"]
    vertices, directions = template["template"], template["shape_dirs"]
    np.testing.assert_array_equal(vertices, vertices[mirror] * MIRROR_X)
    flipped = directions[mirror] * MIRROR_X[:, None]
    np.testing.assert_array_equal(directions, flipped)


def test_joints_are_exactly_mirror_symmetric(template, mirror_joints):
    joints, directions = template["joints"], template["joint_dirs"]
    np.testing.assert_array_equal(joints, joints[mirror_joints] * MIRROR_X)
    flipped = directions[mirror_joints] * MIRROR_X[:, None]
    np.testing.assert_array_equal(directions, flipped)


def test_weights_are_exactly_mirror_symmetric(template, mirror_joints):
    weights = dense_weights(template)
    mirrored = weights[template["mirror"]][:, mirror_joints]
    np.testing.assert_array_equal(weights, mirrored)


def test_weights_are_a_partition_of_unity(template):
    values = template["weight_values"].astype(float)
    assert (values >= 0).all()
    # Multiples of 1 / 2048 are exact in float16 and add up without an error.
    np.testing.assert_array_equal(values.sum(axis=1), 1)
    # No joint is listed twice with weight.
    np.testing.assert_array_equal(
        (dense_weights(template) > 0).sum(axis=1), (values > 0).sum(axis=1)
    )


def test_every_joint_moves_some_vertices(template):
    assert (dense_weights(template).sum(axis=0) > 5).all()


def test_tree_is_ordered(template):
    parents = template["parents"]
    assert parents[0] == -1
    assert (parents[1:] < np.arange(1, NUM_JOINTS)).all()
    assert (parents[1:] >= 0).all()


def test_joints_lie_inside_the_bounding_box(template):
    joints, vertices = template["joints"], template["template"]
    np.testing.assert_array_equal(joints[0], 0)
    assert (joints > vertices.min(axis=0)).all()
    assert (joints < vertices.max(axis=0)).all()


def test_body_stands_in_a_t_pose(template):
    vertices = template["template"]
    joints = dict(zip(template["joint_names"].tolist(), template["joints"]))
    width, stature, _ = np.ptp(vertices, axis=0)
    assert 1.6 < stature < 1.8
    assert 0.9 < width / stature < 1.1
    arm = [joints[f"left_{name}"] for name in ("shoulder", "elbow", "wrist", "hand")]
    np.testing.assert_allclose(np.diff(arm, axis=0)[:, 1:], 0, atol=1e-3)


def test_texture_coordinates_lie_in_the_unit_square(template):
    uv = template["uv"]
    assert uv.dtype == np.float32
    assert uv.min() >= 0
    assert uv.max() <= 1
    np.testing.assert_array_equal(np.unique(template["faces_uv"]), np.arange(len(uv)))


def test_makehuman_indices_are_distinct(template):
    assert (np.diff(template["makehuman_index"].astype(int)) > 0).all()


def test_landmarks_are_mirror_symmetric(template):
    index = dict(
        zip(template["landmark_names"].tolist(), template["landmark_vertices"].tolist())
    )
    assert len(set(index.values())) == len(index)
    for name, vertex in index.items():
        side, _, part = name.partition("_")
        partner = {"left": "right_", "right": "left_"}.get(side, side + "_") + part
        assert template["mirror"][vertex] == index[partner.rstrip("_")], name


def test_landmarks_of_the_head_are_where_they_should_be(template, landmarks):
    vertices = template["template"]
    nose, eye, ear = (landmarks[name] for name in ("nose", "left_eye", "left_ear"))
    head = vertices[vertices[:, 1] > 0.6]
    assert nose[2] == head[:, 2].max()
    assert landmarks["head_top"][1] == vertices[:, 1].max()
    assert nose[2] > eye[2] > ear[2]
    assert 0 < eye[0] < ear[0]
    # The ear is at the side of the head, not on the rim of the auricle.
    assert 0.75 * head[:, 0].max() < ear[0] < head[:, 0].max()
    assert nose[1] < eye[1] < landmarks["head_top"][1] - 0.05
    assert abs(ear[1] - (nose[1] + eye[1]) / 2) < 0.02


def test_landmarks_of_the_limbs_are_where_they_should_be(template, landmarks):
    vertices = template["template"]
    big, small, heel, tip = (
        landmarks[f"left_{name}"]
        for name in ("big_toe", "small_toe", "heel", "hand_tip")
    )
    assert big[2] > small[2] > heel[2] + 0.15
    assert big[0] < small[0]
    for point in (big, small, heel):
        assert point[1] < vertices[:, 1].min() + 0.04
    assert tip[0] == vertices[:, 0].max()


def test_first_component_is_stature(template):
    directions = template["shape_dirs"][:, 1].astype(float)
    heights = template["template"][:, 1, None].astype(float) + directions
    change = np.ptp(heights, axis=0) - np.ptp(template["template"][:, 1])
    assert 0.05 < change[0] < 0.12
    assert (np.abs(change[1:]) < change[0] / 4).all()


def test_components_are_ordered_by_their_size(template):
    size = np.square(template["shape_dirs"].astype(float)).sum(axis=(0, 1))
    assert (np.diff(size) < 0).all()


def test_joints_follow_the_surface(template):
    # One unit of the first component makes legs and arms longer, not only the skin.
    names = template["joint_names"].tolist()
    ankle, hip = names.index("left_ankle"), names.index("left_hip")
    change = template["joint_dirs"][ankle, 1, 0] - template["joint_dirs"][hip, 1, 0]
    assert -0.1 < change < -0.02
