"""Scans from OBJ and PLY files: vertices in the order of the file, in metres."""

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from volhuman.data.sets.files import read_bytes
from volhuman.errors import InputError

_MAX_BYTES = 1 << 31
# Longest side of a person in metres, whatever the pose: these bounds, times the units
# below, do not overlap.
_PERSON = (1.0, 3.0)
_UNITS = {"metres": 1.0, "centimetres": 0.01, "millimetres": 0.001}


@dataclasses.dataclass(frozen=True, eq=False)
class Scan:
    """A triangle mesh as it stands in a file.

    Attributes:
        vertices: `(V, 3)` float32.
        faces: `(F, 3)` int32 into `vertices`; F is 0 for a point cloud.
        colors: `(V, 3)` uint8, or `(0, 3)` where the file has none.
        uv: `(T, 2)` float32 texture coordinates, v up; T may be 0.
        faces_uv: `(F, 3)` int32 into `uv`, or `(0, 3)` where the file has none.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray
    uv: np.ndarray
    faces_uv: np.ndarray


def read_obj(path: Path) -> Scan:
    """Reads a Wavefront OBJ file.

    Polygons are cut into fans; negative numbers count back from the last vertex as the
    format says. Materials are not opened, whatever path they name.

    Raises:
        InputError: If the file is missing, no OBJ, cut inside a face, names vertices
            that are not there, or holds numbers that are not finite.
    """
    data = read_bytes(path, max_bytes=_MAX_BYTES)
    rows: dict[bytes, list] = {b"v": [], b"vt": []}
    corners: list[list[bytes]] = []
    counts: list[tuple[int, int]] = []
    for line in data.splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] in rows:
            rows[words[0]].append(words[1:])
        elif words[0] == b"f":
            corners.append(words[1:])
            counts.append((len(rows[b"v"]), len(rows[b"vt"])))
    try:
        vertices, colors = _vertex_rows(rows[b"v"])
        uv = _rows(rows[b"vt"], (2, 3))[:, :2]
        faces, faces_uv = _faces(corners, counts)
    except ValueError as error:
        raise InputError(f"{path} is no OBJ file, or damaged ({error})") from error
    scan = Scan(vertices, faces, colors, uv, faces_uv)
    _check(path, scan)
    return scan


def read_ply(path: Path) -> Scan:
    """Reads a PLY file, in text or binary.

    Raises:
        InputError: If the file is missing, no PLY, shorter than its header says, or
            holds numbers that are not finite.
    """
    import trimesh

    data = read_bytes(path, max_bytes=_MAX_BYTES)
    try:
        mesh = trimesh.load(io.BytesIO(data), file_type="ply", process=False)
        if isinstance(mesh, trimesh.Trimesh):
            faces, visual = mesh.faces, mesh.visual
            colors = visual.vertex_colors if visual.kind == "vertex" else []
        else:
            faces, colors = np.zeros((0, 3)), mesh.colors
        vertices = np.asarray(mesh.vertices, np.float32)
        colors = np.asarray(colors)[:, :3] if len(colors) else np.zeros((0, 3))
    # The reader fails with its own errors, struct's, IndexError, MemoryError and more.
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"{path} is no PLY file, or damaged ({reason})") from error
    scan = Scan(
        vertices,
        np.asarray(faces, np.int32),
        np.asarray(colors, np.uint8),
        np.zeros((0, 2), np.float32),
        np.zeros((0, 3), np.int32),
    )
    _check(path, scan)
    return scan


def metres_per_unit(vertices: np.ndarray, path: Path) -> float:
    """Tells the unit of a person's scan from its longest side.

    A person is 1 to 3 metres long in any pose, so that metres, centimetres and
    millimetres cannot be confused; anything else is refused.

    Args:
        vertices: `(V, 3)` in the unit of the file.
        path: The file, for the message.

    Returns:
        1, 0.01 or 0.001.

    Raises:
        InputError: If the longest side fits none of the three.
    """
    longest = float(np.ptp(vertices, axis=0).max())
    for unit in _UNITS.values():
        if _PERSON[0] <= longest * unit <= _PERSON[1]:
            return unit
    raise InputError(
        f"{path}: the longest side of the scan is {longest:.4g}, which is no person in "
        f"{', '.join(_UNITS)}; set metres_per_unit"
    )


def _vertex_rows(rows: Sequence[Sequence[bytes]]) -> tuple[np.ndarray, np.ndarray]:
    """Positions, and colours where every vertex has them (in [0, 1] or [0, 255])."""
    values = _rows(rows, (3, 4, 6, 7))
    if values.shape[1] < 6:
        return values[:, :3], np.zeros((0, 3), np.uint8)
    colors = values[:, 3:6]
    scale = 255 if colors.max(initial=0) <= 1 else 1
    return values[:, :3], np.clip(np.round(colors * scale), 0, 255).astype(np.uint8)


def _rows(rows: Sequence[Sequence[bytes]], widths: Sequence[int]) -> np.ndarray:
    if not rows:
        return np.zeros((0, widths[0]), np.float32)
    if len(rows[0]) not in widths or any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("a line has another number of coordinates than the first")
    # float32 itself would overflow with a warning.
    with np.errstate(over="ignore"):
        return np.array(rows, np.float64).astype(np.float32)


def _faces(corners, counts) -> tuple[np.ndarray, np.ndarray]:
    faces: list[list[int]] = []
    faces_uv: list[list[int]] = []
    for words, (num_vertices, num_uv) in zip(corners, counts):
        if len(words) < 3:
            raise ValueError(f"face {len(faces)} has {len(words)} corners")
        parts = [word.split(b"/") for word in words]
        polygon = [_index(part[0], num_vertices) for part in parts]
        for k in range(1, len(words) - 1):
            faces.append([polygon[0], polygon[k], polygon[k + 1]])
        if all(len(part) > 1 and part[1] for part in parts):
            polygon = [_index(part[1], num_uv) for part in parts]
            for k in range(1, len(words) - 1):
                faces_uv.append([polygon[0], polygon[k], polygon[k + 1]])
    if faces_uv and len(faces_uv) < len(faces):
        raise ValueError("only some of the faces have texture coordinates")
    return _triangles(faces), _triangles(faces_uv)


def _triangles(faces: list[list[int]]) -> np.ndarray:
    array = np.array(faces, np.int64).reshape(-1, 3)
    if array.size and array.max() > np.iinfo(np.int32).max:
        raise ValueError("a face names a vertex of absurd number")
    return array.astype(np.int32)


def _index(word: bytes, count: int) -> int:
    """A number from 0 from one that counts from 1, or backwards from the last."""
    number = int(word)
    if number == 0:
        raise ValueError("a face names vertex 0; the first is 1")
    index = number - 1 if number > 0 else count + number
    if index < 0:
        raise ValueError(f"a face names vertex {number} of {count}")
    return index


def _check(path: Path, scan: Scan) -> None:
    if not len(scan.vertices):
        raise InputError(f"{path} holds no vertices; copy it again")
    for name, values in (("vertex", scan.vertices), ("texture", scan.uv)):
        if not np.isfinite(values).all():
            raise InputError(f"{path} holds a {name} coordinate that is not finite")
    for faces, values, name in (
        (scan.faces, scan.vertices, "vertices"),
        (scan.faces_uv, scan.uv, "texture coordinates"),
    ):
        if faces.size and not 0 <= faces.min() <= faces.max() < len(values):
            raise InputError(
                f"{path}: a face names number {faces.max() + 1} of {len(values)} "
                f"{name}; the file is cut or damaged, copy it again"
            )
