"""A z-buffer rasteriser without OpenGL, in NumPy on the host.

Conventions of every function here: screen points are `(V, 3)` x, y in pixels (y down,
pixel (0, 0) covers [0, 1] x [0, 1]) and depth, smaller is nearer. Pictures are written
once per shape of photograph, so nothing here is compiled.
"""

import dataclasses

import numpy as np

_PIXELS_A_BATCH = 2_000_000


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
    points: np.ndarray, faces: np.ndarray, shape: tuple[int, int]
) -> Fragments:
    """Draws triangles into a depth buffer; a pixel is tested at its centre.

    Both orientations are drawn. Faces with a corner that is not finite are skipped.

    Args:
        points: `(V, 3)` screen points.
        faces: `(F, 3)`.
        shape: Picture size (H, W).

    Returns:
        The fragments. Where faces tie the one with the lower number is kept.
    """
    height, width = shape
    points = np.asarray(points, np.float64)
    corners = points[np.asarray(faces)]
    low = np.floor(corners[..., :2].min(1) - 0.5)
    high = np.ceil(corners[..., :2].max(1) - 0.5)
    with np.errstate(invalid="ignore"):
        low = np.maximum(low, 0)
        high = np.minimum(high, [width - 1, height - 1])
        area = _cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        drawn = np.isfinite(corners).all((1, 2)) & (np.abs(area) > 1e-12)
        drawn &= (high >= low).all(1)
    numbers = np.nonzero(drawn)[0]

    depth = np.full(height * width, np.inf, np.float32)
    face = np.full(height * width, -1, np.int32)
    for batch, offsets in _batches(numbers, low, high):
        pixel, weights = _cover(batch, offsets, low, high, corners, area, width)
        inside = (weights >= -1e-9).all(0) & (pixel >= 0)
        z = sum(weights[k] * corners[batch, k, 2][:, None] for k in range(3))
        rows = np.broadcast_to(batch[:, None], z.shape)[inside]
        _keep_nearest(depth, face, pixel[inside], z[inside].astype(np.float32), rows)
    return _finish(face, depth, corners, area, shape)


def _batches(numbers, low, high):
    """Groups faces whose boxes round up to the same powers of two.

    Each group is drawn with one rectangle of pixel offsets, so that small faces, which
    are nearly all, do not pay for the large ones.
    """
    size = (high - low + 1)[numbers]
    level = np.ceil(np.log2(size)).astype(int) if len(size) else np.zeros((0, 2), int)
    for group in np.unique(level, axis=0):
        members = numbers[(level == group).all(1)]
        columns, rows = 2**group
        y, x = np.divmod(np.arange(columns * rows), columns)
        step = max(1, _PIXELS_A_BATCH // (columns * rows))
        for start in range(0, len(members), step):
            yield members[start : start + step], (x, y)


def _cover(batch, offsets, low, high, corners, area, width):
    """Pixel numbers `(B, P)`, -1 outside the box, and weights `(3, B, P)`."""
    x = low[batch, 0][:, None] + offsets[0]
    y = low[batch, 1][:, None] + offsets[1]
    weights = _barycentric(x + 0.5, y + 0.5, corners[batch], area[batch])
    inside = (x <= high[batch, 0][:, None]) & (y <= high[batch, 1][:, None])
    return np.where(inside, y * width + x, -1).astype(np.int64), weights


def _barycentric(x, y, corners, area):
    """Weights `(3, B, P)` of points x, y `(B, P)` in faces `(B, 3, 3)`."""
    a, b, c = (corners[:, k, :2, None] for k in range(3))
    second = (x - a[:, 0]) * (c - a)[:, 1] - (y - a[:, 1]) * (c - a)[:, 0]
    third = (b - a)[:, 0] * (y - a[:, 1]) - (b - a)[:, 1] * (x - a[:, 0])
    second, third = second / area[:, None], third / area[:, None]
    return np.stack([1 - second - third, second, third])


def _keep_nearest(depth, face, pixel, z, rows):
    """Writes the nearest fragment of every pixel, ties to the lower face number."""
    order = np.lexsort((rows, z, pixel))
    pixel, z, rows = pixel[order], z[order], rows[order]
    first = np.ones(len(pixel), bool)
    first[1:] = pixel[1:] != pixel[:-1]
    pixel, z, rows = pixel[first], z[first], rows[first]
    nearer = (z < depth[pixel]) | ((z == depth[pixel]) & (rows < face[pixel]))
    depth[pixel[nearer]] = z[nearer]
    face[pixel[nearer]] = rows[nearer]


def _finish(face, depth, corners, area, shape):
    """Barycentric weights of the faces that won."""
    height, width = shape
    barycentric = np.zeros((height * width, 3), np.float32)
    seen = np.nonzero(face >= 0)[0]
    y, x = np.divmod(seen, width)
    winners = face[seen]
    weights = _barycentric(
        (x + 0.5)[:, None], (y + 0.5)[:, None], corners[winners], area[winners]
    )
    barycentric[seen] = weights[:, :, 0].T
    return Fragments(
        face.reshape(shape), barycentric.reshape(*shape, 3), depth.reshape(shape)
    )


def _cross(u, v):
    return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]


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
