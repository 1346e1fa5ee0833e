"""A z-buffer rasteriser without OpenGL, in NumPy on the host.

Conventions of every function here: screen points are `(V, 3)` x, y in pixels (y down,
pixel (0, 0) covers [0, 1] x [0, 1]) and depth, smaller is nearer. Pictures are written
once per shape of photograph, so nothing here is compiled.
"""

import dataclasses
import itertools

import numpy as np

from volhuman.checks import check_option

_PIXELS_A_BATCH = 500_000
_ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True)
class Fragments:
    """What each pixel sees.

    Attributes:
        face: `(H, W)` int32 number of the nearest face, -1 where empty.
        barycentric: `(H, W, 3)` float32 weights of its corners, 0 where empty.
        depth: `(H, W)` float32, infinity where empty.
    """

    face: np.ndarray
    barycentric: np.ndarray
    depth: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """`(H, W)` bool, where a face is seen."""
        return self.face >= 0


def rasterize(
    points: np.ndarray,
    faces: np.ndarray,
    shape: tuple[int, int],
    *,
    keep: str = "both",
) -> Fragments:
    """Draws triangles into a depth buffer; a pixel is tested at its centre.

    Faces with a corner that is not finite are skipped.

    Args:
        points: `(V, 3)` screen points.
        faces: `(F, 3)`.
        shape: Picture size (H, W).
        keep: "both" orientations, or only faces that turn their outside to the viewer
            ("front") or away ("back"); a closed mesh needs only one of the two.

    Returns:
        The fragments. Where faces tie the one with the lower number is kept.

    Raises:
        ValueError: If `keep` is another word.
    """
    check_option("keep", keep, ("both", "front", "back"))
    height, width = shape
    numbers, corners, low, high = _drawn(points, np.asarray(faces), shape, keep)
    nearest = np.full(height * width, np.iinfo(np.uint64).max, np.uint64)
    for batch, x, y in _batches(low, high):
        x, y = low[0, batch][:, None] + x, low[1, batch][:, None] + y
        weights = _barycentric(x + 0.5, y + 0.5, corners[..., batch, None])
        least = np.minimum(np.minimum(weights[0], weights[1]), weights[2])
        covered = (least >= -1e-9) & (x <= high[0, batch][:, None])
        covered &= y <= high[1, batch][:, None]
        which, where = np.nonzero(covered)
        rows = batch[which]
        z = sum(weights[k][which, where] * corners[2, k, rows] for k in range(3))
        pixel = y[which, where] * width + x[which, where]
        np.minimum.at(nearest, pixel, _rank(z, rows))
    return _finish(nearest, numbers, corners, shape)


def _drawn(points, faces, shape, keep):
    """Faces with a pixel: numbers, corners `(axis, 3, N)` and boxes `(2, N)`."""
    height, width = shape
    # Axis, corner, face: each operation below then runs over contiguous memory.
    axes = np.ascontiguousarray(np.asarray(points, np.float64).T)
    corners = np.take(axes, np.ascontiguousarray(faces.T), axis=1)
    with np.errstate(invalid="ignore"):
        area = _area(corners)
        drawn = np.abs(area) > 1e-12
        if keep != "both":
            drawn &= (area < 0) == (keep == "front")
        finite = np.isfinite(axes.sum(0))
        if not finite.all():
            drawn &= finite[faces].all(1)
        numbers = np.nonzero(drawn)[0]
        corners = corners[..., numbers]
        # Pixels whose centre can lie in the face, a little generous for rounding.
        a, b, c = (corners[:2, k] for k in range(3))
        low = np.ceil(np.minimum(np.minimum(a, b), c) - (0.5 + _ROUNDING))
        high = np.floor(np.maximum(np.maximum(a, b), c) - (0.5 - _ROUNDING))
    low = np.maximum(low, 0)
    high = np.minimum(high, np.array([[width - 1], [height - 1]]))
    kept = np.nonzero((high[0] >= low[0]) & (high[1] >= low[1]))[0]
    low, high = low[:, kept].astype(np.int64), high[:, kept].astype(np.int64)
    return numbers[kept], corners[..., kept], low, high


def _batches(low, high):
    """Groups faces by the size of their boxes: (faces, pixel offsets x and y).

    Each group is drawn with one rectangle of offsets, so that small faces, which are
    nearly all, do not pay for the large ones. Large boxes round up to powers of two.
    """
    size = high - low + 1
    size = np.where(size <= 4, size, 1 << np.ceil(np.log2(size)).astype(np.int64))
    group = size[0] << 32 | size[1]
    order = np.argsort(group, kind="stable")
    borders = np.nonzero(np.diff(group[order], prepend=-1, append=-1))[0]
    for start, stop in itertools.pairwise(borders):
        columns, rows = size[:, order[start]]
        y, x = np.divmod(np.arange(columns * rows), columns)
        step = max(1, _PIXELS_A_BATCH // (columns * rows))
        for first in range(start, stop, step):
            yield order[first : min(first + step, stop)], x, y


def _area(corners):
    """Twice the signed area of faces with corners `(axis, 3, ...)`."""
    (ax, bx, cx), (ay, by, cy) = corners[0], corners[1]
    return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)


def _barycentric(x, y, corners):
    """Weights of points x, y in faces with corners `(axis, 3, ...)`, broadcast."""
    (ax, bx, cx), (ay, by, cy) = corners[0], corners[1]
    area = _area(corners)
    second = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / area
    third = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area
    return 1 - second - third, second, third


def _rank(z, rows):
    """Integers in the order of depth, then of face number; the face is the low half."""
    bits = (z.astype(np.float32) + np.float32(0)).view(np.uint32)
    negative = bits >> np.uint32(31) == 1
    ordered = np.where(negative, ~bits, bits | np.uint32(1 << 31))
    return (ordered.astype(np.uint64) << np.uint64(32)) | rows.astype(np.uint64)


def _finish(nearest, numbers, corners, shape):
    """Faces that won, with their barycentric weights and depth."""
    seen = np.nonzero(nearest != np.iinfo(np.uint64).max)[0]
    winners = (nearest[seen] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    face = np.full(len(nearest), -1, np.int32)
    face[seen] = numbers[winners]
    y, x = np.divmod(seen, shape[1])
    corners = corners[..., winners]
    weights = _barycentric(x + 0.5, y + 0.5, corners)
    barycentric = np.zeros((len(nearest), 3), np.float32)
    barycentric[seen] = np.stack(weights, axis=1)
    depth = np.full(len(nearest), np.inf, np.float32)
    depth[seen] = sum(weights[k] * corners[2, k] for k in range(3))
    return Fragments(
        face.reshape(shape), barycentric.reshape(*shape, 3), depth.reshape(shape)
    )


def interpolate(
    fragments: Fragments, faces: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Interpolates vertex values `(V, C)`: `(H, W, C)`, 0 where empty."""
    values = np.asarray(values, np.float32)
    seen = fragments.mask
    corners = values[np.asarray(faces)[fragments.face[seen]]]
    picture = np.zeros((*seen.shape, values.shape[1]), np.float32)
    picture[seen] = np.einsum("nk,nkc->nc", fragments.barycentric[seen], corners)
    return picture


def visible_vertices(
    points: np.ndarray, faces: np.ndarray, shape: tuple[int, int], tolerance: float
) -> np.ndarray:
    """Returns which vertices are seen: `(V,)` bool.

    Args:
        points: `(V, 3)` screen points.
        faces: `(F, 3)`.
        shape: Picture size (H, W).
        tolerance: How far behind the depth buffer a vertex may lie.
    """
    depth = rasterize(points, faces, shape).depth
    column, row = np.floor(points[:, :2]).astype(int).T
    inside = (column >= 0) & (row >= 0) & (column < shape[1]) & (row < shape[0])
    seen = np.zeros(len(points), bool)
    front = depth[row[inside], column[inside]]
    seen[inside] = points[inside, 2] <= front + tolerance
    return seen
