"""Reads dense correspondences: image points with their place on the body's surface."""

import dataclasses
from pathlib import Path

import numpy as np

from volhuman.body.correspondence import (
    SurfacePoints,
    points_at_vertices,
    points_from_rest,
    points_from_uv,
)
from volhuman.body.model import BodyModel
from volhuman.data.json_files import number, read_json
from volhuman.errors import InputError

MINIMUM_POINTS = 12
# A rest position this far from the surface belongs to another body or another unit.
_FARTHEST = 0.1


@dataclasses.dataclass(frozen=True)
class DensePoints:
    """Dense annotation of one person.

    Attributes:
        positions: `(N, 2)` pixels x, y.
        surface: The N surface points.
    """

    positions: np.ndarray
    surface: SurfacePoints


def read_dense(
    path: str | Path,
    model: BodyModel,
    shape: tuple[int, int],
    *,
    chart: str | Path | None = None,
) -> DensePoints:
    """Reads a dense annotation for a body.

    The JSON object holds lists of equal length: `x` and `y` in pixels of the
    photograph, and one of

    * `vertex`: vertex numbers of the body,
    * `rest_xyz`: positions on the T-posed mean body, metres, origin at the pelvis (the
      nearest vertex is taken),
    * `I`, `U`, `V`: DensePose's part and texture coordinates. They refer to DensePose's
      own chart of SMPL's mesh, which is not free and not part of this package: they
      need an SMPL body and the chart file `UV_Processed.mat`.

    Where several are present the first of this list is used.

    Args:
        path: JSON file.
        model: Body model.
        shape: (H, W) of the photograph.
        chart: DensePose's chart file.

    Returns:
        The annotation.

    Raises:
        InputError: If lists are missing, differ in length, hold values that are not
            finite or out of range, or the chart is needed and missing.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object with the lists x and y")
    x, y = (_column(content, name, path) for name in ("x", "y"))
    if len(x) != len(y):
        raise InputError(f"{path}: x has {len(x)} entries but y has {len(y)}")
    if len(x) < MINIMUM_POINTS:
        raise InputError(
            f"{path}: {len(x)} dense points, expected at least {MINIMUM_POINTS}; "
            "annotate more points"
        )
    positions = np.stack([x, y], axis=1).astype(np.float32)
    height, width = shape
    outside = (positions < 0).any(1) | (positions > [width, height]).any(1)
    if outside.any():
        index = int(np.argmax(outside))
        raise InputError(
            f"{path}: dense point {index} lies at ({x[index]:g}, {y[index]:g}), "
            f"outside the photograph of {width} x {height} pixels; correct or remove it"
        )
    return DensePoints(positions, _surface(content, model, path, len(x), chart))


def _surface(content, model, path, count, chart) -> SurfacePoints:
    if "vertex" in content:
        vertex = _column(content, "vertex", path, count)
        if (vertex != np.round(vertex)).any() or (
            (vertex < 0) | (vertex >= model.num_vertices)
        ).any():
            raise InputError(
                f"{path}: vertex holds a number that is not one of 0 to "
                f"{model.num_vertices - 1} of the body {model.name!r}"
            )
        return points_at_vertices(vertex.astype(np.int32))
    if "rest_xyz" in content:
        return _from_rest(content["rest_xyz"], model, path, count)
    if all(name in content for name in "IUV"):
        return _from_densepose(content, model, path, count, chart)
    raise InputError(
        f"{path}: no place on the body; expected one of the lists vertex, rest_xyz, or "
        "I, U and V"
    )


def _from_rest(rows, model, path, count) -> SurfacePoints:
    if not isinstance(rows, list) or len(rows) != count:
        raise InputError(f"{path}: rest_xyz is not a list of {count} points")
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != 3:
            raise InputError(
                f"{path}: rest_xyz[{index}] is {row!r}, expected [x, y, z]"
            )
    rest = np.array(
        [
            [number(value, path, f"rest_xyz[{index}]") for value in row]
            for index, row in enumerate(rows)
        ]
    )
    surface = points_from_rest(model, rest, snap=True)
    nearest = np.asarray(model.template)[np.asarray(surface.vertices)[:, 0]]
    distance = np.linalg.norm(nearest - rest, axis=1)
    if distance.max() > _FARTHEST:
        index = int(distance.argmax())
        raise InputError(
            f"{path}: rest_xyz[{index}] lies {distance[index]:.2f} m from the body "
            f"{model.name!r}, expected at most {_FARTHEST} m; it must be in metres on "
            "the T-posed body with the origin at the pelvis"
        )
    return surface


def _from_densepose(content, model, path, count, chart) -> SurfacePoints:
    if not chart or model.name != "smpl":
        raise InputError(
            f"{path}: I, U, V refer to DensePose's chart of SMPL, which this package "
            "cannot include; annotate vertex or rest_xyz, or fit SMPL with "
            "--config=experiments/register.py --config.body=SMPL_FILE "
            "--config.chart=UV_Processed.mat"
        )
    part, u, v = (_column(content, name, path, count) for name in "IUV")
    if ((u < 0) | (u > 1) | (v < 0) | (v > 1)).any():
        raise InputError(f"{path}: U and V must lie in [0, 1]")
    if (part != np.round(part)).any():
        raise InputError(f"{path}: I holds a number that is not whole")
    table = read_chart(chart)
    # A gather would silently clamp such a number.
    if table["table_vertices"].max() >= model.num_vertices:
        raise InputError(
            f"{chart}: the chart names vertex {table['table_vertices'].max()}, but the "
            f"body {model.name!r} has {model.num_vertices}; give the chart of this body"
        )
    try:
        return points_from_uv(part.astype(int), np.stack([u, v], 1), **table)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def read_chart(path: str | Path) -> dict[str, np.ndarray]:
    """Reads DensePose's `UV_Processed.mat` into the table of `points_from_uv`.

    Returns:
        `table_part` `(T,)`, `table_uv` `(T, 2)` and `table_vertices` `(T,)`.

    Raises:
        InputError: If the file is missing or not that chart.
    """
    import scipy.io

    try:
        content = scipy.io.loadmat(path)
        vertices = content["All_vertices"].reshape(-1).astype(int) - 1
        faces = content["All_Faces"].astype(int) - 1
        face_part = content["All_FaceIndices"].reshape(-1).astype(int)
        uv = np.stack(
            [content[name].reshape(-1) for name in ("All_U_norm", "All_V_norm")], 1
        )
        part = np.zeros(len(vertices), int)
        part[faces] = face_part[:, None]
        if min(vertices.min(), faces.min()) < 0 or len(uv) != len(vertices):
            raise ValueError("its tables do not belong together")
    # SciPy's reader fails with its own errors, zlib's, NotImplementedError and more.
    except Exception as error:
        raise InputError(
            f"{path}: not DensePose's chart ({error}); expected UV_Processed.mat"
        ) from error
    return {"table_part": part, "table_uv": uv, "table_vertices": vertices}


def _column(content, name, path, count=None) -> np.ndarray:
    column = content.get(name)
    if not isinstance(column, list):
        raise InputError(f"{path}: the list {name!r} is missing")
    if count is not None and len(column) != count:
        raise InputError(f"{path}: {name} has {len(column)} entries, expected {count}")
    values = [
        number(value, path, f"{name}[{index}]") for index, value in enumerate(column)
    ]
    return np.array(values, np.float64)
