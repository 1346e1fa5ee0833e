"""Mesh files: every format, seams, and what a damaged or lying file may not do."""

import json
import resource
import struct

import numpy as np
import pytest
import trimesh

from volhuman.body.model import rest_params
from volhuman.body.template import load_template
from volhuman.errors import InputError
from volhuman.evaluation.mesh_files import MESH_SUFFIXES, read_mesh
from volhuman.evaluation.meshes import distance_to_surface, mesh_problem
from volhuman.render.glb import export_glb

BOX = trimesh.creation.box((1, 2, 3))


@pytest.fixture
def write(tmp_path):
    def write(name, raw):
        path = tmp_path / name
        path.write_bytes(raw.encode() if isinstance(raw, str) else raw)
        return path

    return write


@pytest.mark.parametrize("suffix", MESH_SUFFIXES)
def test_every_format_gives_the_same_surface(write, suffix):
    mesh = read_mesh(write(f"box{suffix}", BOX.export(file_type=suffix[1:])))
    assert mesh.vertices.dtype == np.float64 and mesh.faces.shape == (12, 3)
    # STL repeats the corners of every face; they are merged.
    assert mesh.vertices.shape == (8, 3)
    np.testing.assert_allclose(mesh.areas.sum(), 22, rtol=1e-6)
    np.testing.assert_allclose(distance_to_surface(BOX.vertices, mesh), 0, atol=1e-6)
    np.testing.assert_allclose(
        mesh.vertices.max(0), BOX.vertices.max(0), rtol=1e-6, atol=1e-7
    )


def test_seams_are_closed_and_faces_keep_their_corners(write):
    text = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\n"
    text += "vt 0 0\nvt 1 1\nf 1/1 2/1 3/1\nf 4/2 6/2 5/2\n"
    mesh = read_mesh(write("seam.obj", text))
    assert mesh.vertices.shape == (4, 3)
    normals = np.cross(*np.moveaxis(mesh.corners[:, 1:] - mesh.corners[:, :1], 1, 0))
    np.testing.assert_allclose(normals, [[0, 0, 1]] * 2)


def test_quads_and_negative_numbers_of_obj(write):
    text = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf -4 -3 -2 -1\n"
    mesh = read_mesh(write("quad.obj", text))
    np.testing.assert_allclose(mesh.areas.sum(), 1)


def test_parts_of_a_scene_are_joined_in_place(write):
    scene = trimesh.Scene([BOX])
    scene.add_geometry(
        BOX, transform=trimesh.transformations.translation_matrix([9, 0, 0])
    )
    mesh = read_mesh(write("two.glb", scene.export(file_type="glb")))
    assert len(mesh.faces) == 24
    np.testing.assert_allclose(np.ptp(mesh.vertices[:, 0]), 10)


def test_a_skinned_body_is_refused_because_its_file_holds_another_pose(tmp_path):
    model = load_template()
    export_glb(tmp_path / "body.glb", model, rest_params(model))
    with pytest.raises(InputError, match="posed surface"):
        read_mesh(tmp_path / "body.glb")


def test_other_files_that_a_mesh_names_are_not_opened(write):
    text = "mtllib ../../etc/passwd\nusemtl x\n" + BOX.export(file_type="obj")
    assert len(read_mesh(write("box.obj", text)).faces) == 12
    raw = _glb({"buffers": [{"uri": "file:///etc/passwd", "byteLength": 9}]})
    with pytest.raises(InputError, match=r"box\.glb"):
        read_mesh(write("box.glb", raw))


@pytest.mark.parametrize("suffix", MESH_SUFFIXES)
@pytest.mark.parametrize("raw", [b"", b"hello", b"<html>404</html>", b"\0" * 200])
def test_what_is_no_mesh_is_refused_or_has_no_faces(write, suffix, raw):
    path = write(f"bad{suffix}", raw)
    try:
        mesh = read_mesh(path)
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert mesh_problem(mesh) == "it has no faces"


def test_a_broken_vertex_is_read_and_named(write):
    mesh = read_mesh(write("nan.obj", "v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"))
    assert mesh_problem(mesh) == "it has vertices that are not finite"


def test_refuses_faces_beyond_the_vertices(write):
    with pytest.raises(InputError, match=r"far\.obj"):
        read_mesh(write("far.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n"))
    ply = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\n"
    ply += "property float y\nproperty float z\nelement face 1\n"
    ply += "property list uchar int vertex_indices\nend_header\n"
    ply += "0 0 0\n1 0 0\n0 1 0\n3 0 1 -2\n"
    with pytest.raises(InputError, match=r"far\.ply"):
        read_mesh(write("far.ply", ply))


def _glb(content, binary=bytes(16)):
    text = json.dumps({"asset": {"version": "2.0"}, **content}).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<I4s", len(text), b"JSON") + text
    body += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return b"glTF" + struct.pack("<II", 2, 12 + len(body)) + body


_VERTEX = "element vertex 4000000000\nproperty float x\nproperty float y\n"
_SCENE = {
    "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
    "nodes": [{"mesh": 0}],
    "scenes": [{"nodes": [0]}],
    "scene": 0,
}


@pytest.mark.parametrize(
    "name, raw",
    [
        (
            "lie.ply",
            "ply\nformat binary_little_endian 1.0\n" + _VERTEX + "end_header\nabc",
        ),
        ("lie.off", "OFF\n4000000000 1 0\n0 0 0\n"),
        (
            "stored.glb",
            _glb(
                _SCENE
                | {
                    "buffers": [{"byteLength": 10**12}],
                    "bufferViews": [{"buffer": 0, "byteLength": 10**12}],
                    "accessors": [
                        {
                            "bufferView": 0,
                            "componentType": 5126,
                            "count": 10**9,
                            "type": "VEC3",
                        }
                    ],
                }
            ),
        ),
        (
            "unstored.glb",
            _glb(
                _SCENE
                | {
                    "buffers": [{"byteLength": 16}],
                    "bufferViews": [],
                    "accessors": [
                        {"componentType": 5126, "count": 3 * 10**8, "type": "VEC3"}
                    ],
                }
            ),
        ),
    ],
    ids=["ply", "off", "stored glb", "unstored glb"],
)
def test_a_file_that_lies_about_its_size_takes_no_memory(write, name, raw):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=name):
        read_mesh(write(name, raw))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 200_000  # kB


def test_instances_beyond_the_limit_are_refused_before_they_are_joined(write):
    scene = trimesh.Scene([trimesh.creation.icosphere(subdivisions=4)])
    raw = scene.export(file_type="glb")
    (length,) = struct.unpack_from("<I", raw, 12)
    content = json.loads(raw[20 : 20 + length])
    count = 10_000_000 // 5120 + 1
    content["nodes"] = [{"mesh": 0, "name": f"n{k}"} for k in range(count)]
    content["scenes"] = [{"nodes": list(range(count))}]
    with pytest.raises(InputError, match="10004480 faces"):
        read_mesh(write("many.glb", _glb(content, raw[28 + length :])))


def test_refuses_huge_and_missing_files_folders_and_other_formats(tmp_path, write):
    huge = tmp_path / "huge.obj"
    with huge.open("wb") as file:
        file.truncate((1 << 28) + 1)
    for path, reason in (
        (huge, "simplify"),
        (tmp_path / "none.obj", "No such file"),
        (write("box.fbx", b"x"), ".obj"),
    ):
        with pytest.raises(InputError, match=reason):
            read_mesh(path)
    (tmp_path / "folder.obj").mkdir()
    with pytest.raises(InputError, match=r"folder\.obj"):
        read_mesh(tmp_path / "folder.obj")
