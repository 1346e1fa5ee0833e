"""OBJ and PLY files of scans: every form of a face, units, damage."""

import numpy as np
import pytest
import trimesh

from volhuman.data.sets.meshes import metres_per_unit, read_obj, read_ply
from volhuman.errors import InputError

QUAD = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"


@pytest.fixture
def obj(tmp_path):
    def obj(text):
        path = tmp_path / "scan.obj"
        path.write_text(text)
        return path

    return obj


@pytest.fixture
def ball():
    return trimesh.creation.icosphere(subdivisions=2)


@pytest.mark.parametrize(
    "face",
    ["f 1 2 3 4", "f 1// 2// 3// 4//", "f 1//1 2//1 3//1 4//1", "f -4 -3 -2 -1"],
)
def test_polygons_become_fans_and_negative_numbers_count_back(obj, face):
    scan = read_obj(obj(QUAD + "vn 0 0 1\n" + face + "\n"))
    np.testing.assert_array_equal(scan.faces, [[0, 1, 2], [0, 2, 3]])
    assert scan.faces_uv.shape == (0, 3) and scan.colors.shape == (0, 3)


def test_negative_numbers_count_from_where_the_face_stands(obj):
    text = QUAD + "f -4 -3 -2\nv 9 9 9\nf -4 -3 -2\n"
    np.testing.assert_array_equal(read_obj(obj(text)).faces, [[0, 1, 2], [1, 2, 3]])


def test_texture_coordinates_have_faces_of_their_own(obj):
    text = QUAD + "vt 0 0\nvt .5 1\nvt 1 0\nf 1/3/1 2/2/1 3/1/1\nf 1/1 3/2 4/3\n"
    scan = read_obj(obj(text))
    np.testing.assert_array_equal(scan.faces_uv, [[2, 1, 0], [0, 1, 2]])
    np.testing.assert_array_equal(scan.uv, [[0, 0], [0.5, 1], [1, 0]])


@pytest.mark.parametrize("top", [1.0, 255.0])
def test_colours_of_vertices_in_both_ranges(obj, top):
    rows = [f"v {i} 0 0 {top} {top * 0.2} 0" for i in range(3)]
    scan = read_obj(obj("\n".join(rows) + "\nf 1 2 3\n"))
    np.testing.assert_array_equal(scan.colors, [[255, 51, 0]] * 3)
    np.testing.assert_array_equal(scan.vertices[:, 0], [0, 1, 2])


def test_files_of_other_systems_and_programs(obj):
    text = "# comment\r\nmtllib ../../x.mtl\r\no man\r\n" + QUAD.replace("\n", "\r\n")
    scan = read_obj(obj(text + "usemtl ../../etc\r\ns off\r\nf 1 2 3\r\n"))
    np.testing.assert_array_equal(scan.faces, [[0, 1, 2]])


def test_a_mesh_of_trimesh_comes_back_vertex_by_vertex(tmp_path, ball):
    ball.export(tmp_path / "ball.obj", include_normals=True)
    ball.export(tmp_path / "ball.ply")
    for scan in (read_obj(tmp_path / "ball.obj"), read_ply(tmp_path / "ball.ply")):
        np.testing.assert_allclose(scan.vertices, ball.vertices, atol=1e-6)
        np.testing.assert_array_equal(scan.faces, ball.faces)


@pytest.mark.parametrize("encoding", ["binary", "ascii"])
def test_ply_keeps_colours(tmp_path, ball, encoding):
    colors = np.arange(len(ball.vertices) * 3).reshape(-1, 3) % 251
    ball.visual.vertex_colors = colors
    path = tmp_path / "ball.ply"
    path.write_bytes(trimesh.exchange.ply.export_ply(ball, encoding=encoding))
    scan = read_ply(path)
    np.testing.assert_array_equal(scan.colors, colors)
    np.testing.assert_array_equal(scan.faces, ball.faces)


def test_ply_of_points_alone(tmp_path, ball):
    path = tmp_path / "points.ply"
    trimesh.PointCloud(ball.vertices).export(path)
    scan = read_ply(path)
    assert len(scan.vertices) == len(ball.vertices) and scan.faces.shape == (0, 3)


@pytest.mark.parametrize(
    "text, word",
    [
        ("", "no vertices"),
        ("hello\nworld\n", "no vertices"),
        (QUAD + "f 1 2 9\n", "number 9 of 4"),
        (QUAD + "f 1 2 -9\n", "vertex -9 of 4"),
        (QUAD + "f 0 1 2\n", "vertex 0"),
        (QUAD + "f 1 2\n", "2 corners"),
        (QUAD + "f 1 2 x\n", "x"),
        (QUAD + "f 1 2 99999999999999\n", "absurd"),
        (QUAD + "v 1 2\n", "another number"),
        ("v 1 2\n", "another number"),
        ("v 1 2 nan\n", "not finite"),
        ("v 1 2 1e300\n", "not finite"),
        ("v 1 2 x\n", "damaged"),
        (QUAD + "vt 0 0\nf 1/1 2/1 3/2\n", "texture"),
        (QUAD + "vt 0 0\nf 1/1 2/1 3/1\nf 1 2 3\n", "only some"),
    ],
)
def test_damaged_obj_files_are_refused(obj, text, word):
    path = obj(text)
    with pytest.raises(InputError, match=word) as refusal:
        read_obj(path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


def _ply(tmp_path, ball, change):
    path = tmp_path / "scan.ply"
    path.write_bytes(change(trimesh.exchange.ply.export_ply(ball)))
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:40],
        lambda data: b"",
        lambda data: b"hello",
        lambda data: data.replace(
            b"element vertex 162", b"element vertex 999999999999"
        ),
        lambda data: data.replace(b"element face 320", b"element face 999999999999"),
        lambda data: data.replace(b"element vertex 162", b"element vertex 17"),
    ],
    ids=["half", "header", "empty", "text", "vertices", "faces", "few"],
)
def test_damaged_ply_files_are_refused(tmp_path, ball, change):
    path = _ply(tmp_path, ball, change)
    with pytest.raises(InputError, match=r"scan\.ply") as refusal:
        read_ply(path)
    assert "\n" not in str(refusal.value)


def test_missing_files_are_refused(tmp_path):
    for read in (read_obj, read_ply):
        with pytest.raises(InputError, match="cannot be read"):
            read(tmp_path / "nowhere")


@pytest.mark.parametrize("unit", [1, 0.01, 0.001])
@pytest.mark.parametrize("length", [1.01, 1.75, 2.99])
def test_the_unit_is_told_by_the_size_of_a_person(unit, length):
    vertices = np.array([[0, 0, 0], [0.3, length, 0.2]]) / unit
    assert metres_per_unit(vertices, "scan.obj") == unit


@pytest.mark.parametrize("length", [0.8, 5, 20, 400, 1e5, 0])
def test_a_size_that_no_person_has_is_refused(length):
    vertices = np.array([[0, 0, 0], [0, length, 0]])
    with pytest.raises(InputError, match=r"scan\.obj.*metres_per_unit"):
        metres_per_unit(vertices, "scan.obj")
