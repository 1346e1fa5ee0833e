"""A z-buffer rasteriser without OpenGL, in NumPy on the host.

Conventions of every function here: screen points are `(V, 3)` x, y in pixels (y down,
pixel (0, 0) covers [0, 1] x [0, 1]) and depth, smaller is nearer. Pictures are written
once per shape of photograph, so nothing here is compiled.
"""

import dataclasses

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
    points = np.asarray(points, np.float64)
    faces = np.asarray(faces)
    a, b, c = (points[faces[:, k], :2].T for k in range(3))
    with np.errstate(invalid="ignore"):
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        drawn = np.abs(area) > 1e-12
        if keep != "both":
            drawn &= (area < 0) == (keep == "front")
        # Pixels whose centre can lie in the face, a little generous for rounding.
        low = np.ceil(np.minimum(np.minimum(a, b), c) - (0.5 + _ROUNDING))
        high = np.floor(np.maximum(np.maximum(a, b), c) - (0.5 - _ROUNDING))
        low = np.maximum(low, 0)
        high = np.minimum(high, np.array([[width - 1], [height - 1]]))
        drawn &= (high[0] >= low[0]) & (high[1] >= low[1])
        finite = np.isfinite(points.sum(1))
        if not finite.all():
            drawn &= finite[faces].all(1)
    numbers = np.nonzero(drawn)[0]
    corners = points[faces[numbers]]
    area, low, high = area[numbers], low[:, numbers], high[:, numbers]

    nearest = np.full(height * width, np.iinfo(np.uint64).max, np.uint64)
    for batch, offsets in _batches(low, high):
        pixel, weights = _cover(batch, offsets, low, high, corners, area, width)
        least = np.minimum(np.minimum(weights[0], weights[1]), weights[2])
        which, where = np.nonzero((least >= -1e-9) & (pixel >= 0))
        rows, depth = batch[which], corners[batch[which], :, 2]
        z = sum(weights[k][which, where] * depth[:, k] for k in range(3))
        np.minimum.at(nearest, pixel[which, where], _rank(z, rows))
    return _finish(nearest, numbers, corners, area, shape)


def _batches(low, high):
    """Groups faces whose boxes round up to the same powers of two.

    Each group is drawn with one rectangle of pixel offsets, so that small faces, which
    are nearly all, do not pay for the large ones.
    """
    level = np.ceil(np.log2(high - low + 1)).astype(np.int64)
    group = level[0] * 64 + level[1]
    for number in np.nonzero(np.bincount(group))[0]:
        members = np.nonzero(group == number)[0]
        columns, rows = 1 << (number // 64), 1 << (number % 64)
        y, x = np.divmod(np.arange(columns * rows), columns)
        step = max(1, _PIXELS_A_BATCH // (columns * rows))
        for start in range(0, len(members), step):
            yield members[start : start + step], (x, y)


def _cover(batch, offsets, low, high, corners, area, width):
    """Pixel numbers `(B, P)`, -1 outside the box, and weights `(3, B, P)`."""
    x = low[0, batch][:, None] + offsets[0]
    y = low[1, batch][:, None] + offsets[1]
    weights = _barycentric(x + 0.5, y + 0.5, corners[batch], area[batch])
    inside = (x <= high[0, batch][:, None]) & (y <= high[1, batch][:, None])
    return np.where(inside, y * width + x, -1).astype(np.int64), weights


def _barycentric(x, y, corners, area):
    """Weights `(3, B, P)` of points x, y `(B, P)` in faces `(B, 3, 3)`."""
    a, b, c = (corners[:, k, :2, None] for k in range(3))
    second = (x - a[:, 0]) * (c - a)[:, 1] - (y - a[:, 1]) * (c - a)[:, 0]
    third = (b - a)[:, 0] * (y - a[:, 1]) - (b - a)[:, 1] * (x - a[:, 0])
    second, third = second / area[:, None], third / area[:, None]
    return np.stack([1 - second - third, second, third])


def _rank(z, rows):
    """Integers in the order of depth, then of face number; the face is the low half."""
    bits = (z.astype(np.float32) + np.float32(0)).view(np.uint32)
    negative = bits >> np.uint32(31) == 1
    ordered = np.where(negative, ~bits, bits | np.uint32(1 << 31))
    return (ordered.astype(np.uint64) << np.uint64(32)) | rows.astype(np.uint64)


def _finish(nearest, numbers, corners, area, shape):
    """Faces that won, with their barycentric weights and depth."""
    width = shape[1]
    seen = np.nonzero(nearest != np.iinfo(np.uint64).max)[0]
    winners = (nearest[seen] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    face = np.full(len(nearest), -1, np.int32)
    face[seen] = numbers[winners]
    y, x = np.divmod(seen, width)
    weights = _barycentric(
        (x + 0.5)[:, None], (y + 0.5)[:, None], corners[winners], area[winners]
    )[:, :, 0].T
    barycentric = np.zeros((len(nearest), 3), np.float32)
    barycentric[seen] = weights
    depth = np.full(len(nearest), np.inf, np.float32)
    depth[seen] = sum(weights[:, k] * corners[winners, k, 2] for k in range(3))
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
