"""Reads triangle meshes that a user gives, with bounds on what a file may claim."""

import io
import json
import struct
from pathlib import Path

import numpy as np
import trimesh

from volhuman.errors import InputError
from volhuman.evaluation.meshes import Mesh

MESH_SUFFIXES = (".obj", ".ply", ".stl", ".off", ".glb")

# A scan of a million faces is 100 MB of OBJ.
_MAXIMUM_BYTES = 1 << 28
_MAXIMUM_FACES = 10_000_000


def read_mesh(path: str | Path) -> Mesh:
    """Reads the triangles of a mesh file.

    All meshes of a GLB scene are joined as placed there; materials and whatever other
    files the file names are not read, a skinned body is refused. Vertices at equal
    positions become one, so that vertex normals do not depend on texture seams or on
    the format.

    Args:
        path: `.obj`, `.ply`, `.stl`, `.off` or `.glb`.

    Returns:
        The mesh in the file's unit; it may be empty or hold values that are not finite
        (`volhuman.evaluation.meshes.mesh_problem` says so).

    Raises:
        InputError: If the file cannot be read, is too large, or is damaged.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in MESH_SUFFIXES:
        raise InputError(
            f"{path}: not a mesh file; give one of {', '.join(MESH_SUFFIXES)}"
        )
    try:
        size = path.stat().st_size
        if size > _MAXIMUM_BYTES:
            raise InputError(
                f"{path}: the file has {size} bytes, at most {_MAXIMUM_BYTES} are "
                "read; simplify the mesh"
            )
        raw = path.read_bytes()
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise InputError(f"{path}: {reason}; give a mesh file") from error
    try:
        return _parse(raw, kind[1:])
    # The parsers fail with ValueError, IndexError, AssertionError, struct.error,
    # JSONDecodeError, MemoryError and more.
    except Exception as error:
        cause = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(
            f"{path}: cannot be read as a mesh ({cause}); save it again"
        ) from error


def _parse(raw, kind):
    if kind == "glb":
        _check_glb(raw)
    # From memory and without a resolver: no other file and no address is opened.
    scene = trimesh.load_scene(
        io.BytesIO(raw),
        file_type=kind,
        resolver=None,
        process=False,
        skip_materials=True,
    )
    geometries = [
        scene.geometry[scene.graph[node][1]] for node in scene.graph.nodes_geometry
    ]
    count = sum(len(getattr(geometry, "faces", ())) for geometry in geometries)
    if count > _MAXIMUM_FACES:
        raise ValueError(f"it has {count} faces, at most {_MAXIMUM_FACES} are read")
    mesh = scene.to_mesh()
    vertices = np.asarray(mesh.vertices, np.float64).reshape(-1, 3)
    faces = np.asarray(mesh.faces, np.int64).reshape(-1, 3)
    if len(faces) and not 0 <= faces.min() <= faces.max() < len(vertices):
        raise ValueError(f"a face names a vertex beyond its {len(vertices)}")
    vertices, number = np.unique(vertices, axis=0, return_inverse=True)
    return Mesh(vertices, number.reshape(-1)[faces])


def _check_glb(raw):
    """Refuses what trimesh would read wrongly, or into too much memory."""
    (length,) = struct.unpack_from("<I", raw, 12)
    header = json.loads(raw[20 : 20 + length])
    # The stored vertices are those of the rest pose, whatever pose a viewer shows.
    if header.get("skins"):
        raise ValueError("it holds a skinned body; export its posed surface instead")
    # Arrays may be stated without being stored: zeros of any size.
    claimed = sum(
        int(accessor["count"])
        for accessor in header.get("accessors", [])
        if "bufferView" not in accessor
    )
    if claimed > len(raw):
        raise ValueError(f"it claims {claimed} elements that it does not hold")
