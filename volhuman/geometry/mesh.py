"""Triangle meshes: normals, nearest vertices, closest points on the surface.

Conventions of every function here: vertices are `(V, 3)`, faces `(F, 3)` integers, seen
from outside their corners run counter-clockwise in right-handed axes. Functions take
one mesh; batch with `jax.vmap`.
"""

import jax
import jax.numpy as jnp

from volhuman.checks import check_shape

_NUM_BLOCKS = 192
_FACES_A_BLOCK = 32


def face_normals(vertices: jax.Array, faces: jax.Array) -> jax.Array:
    """Returns outward normals `(F, 3)` whose length is twice the area of the face."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return jnp.cross(b - a, c - a)


def vertex_normals(vertices: jax.Array, faces: jax.Array) -> jax.Array:
    """Returns unit normals of the vertices, weighted by the areas of their faces.

    Args:
        vertices: `(V, 3)`.
        faces: `(F, 3)`.

    Returns:
        `(V, 3)`; 0 for a vertex without a face of positive area, with gradient 0.
    """
    check_shape("vertices", vertices, "V 3")
    check_shape("faces", faces, "F 3")
    normals = jnp.zeros_like(vertices)
    by_face = face_normals(vertices, faces)
    for corner in range(3):
        normals = normals.at[faces[:, corner]].add(by_face)
    squared = (normals * normals).sum(-1, keepdims=True)
    good = squared > 0
    return jnp.where(good, normals / jnp.sqrt(jnp.where(good, squared, 1)), 0)


def nearest_vertices(
    points: jax.Array, vertices: jax.Array, num_nearest: int
) -> tuple[jax.Array, jax.Array]:
    """Finds the k nearest vertices of every point, exactly.

    The k nearest lie in the k blocks of vertices with the smallest block minimum, so a
    full sort of all distances is not needed. Distances are differentiable.

    Args:
        points: `(N, 3)`.
        vertices: `(V, 3)`, V at least `num_nearest`.
        num_nearest: k.

    Returns:
        Distances `(N, k)` in ascending order and vertex numbers `(N, k)`.

    Raises:
        ValueError: If there are fewer vertices than asked for.
    """
    check_shape("points", points, "N 3")
    num_vertices = check_shape("vertices", vertices, "V 3")["V"]
    if not 1 <= num_nearest <= num_vertices:
        raise ValueError(
            f"num_nearest is {num_nearest}, expected 1 to {num_vertices} (the vertices)"
        )
    fixed_points, fixed = map(jax.lax.stop_gradient, (points, vertices))
    num_blocks = max(min(_NUM_BLOCKS, num_vertices), num_nearest)
    block_size = -(-num_vertices // num_blocks)
    padding = num_blocks * block_size - num_vertices
    # Padding lies at infinity; it can be chosen only when nothing else is left.
    padded = jnp.pad(fixed, ((0, padding), (0, 0)), constant_values=jnp.inf)
    x, y, z = fixed_points.T

    def block_minimum(block):
        distances = [(x - v[0]) ** 2 + (y - v[1]) ** 2 + (z - v[2]) ** 2 for v in block]
        while len(distances) > 1:
            paired = [jnp.minimum(*d) for d in zip(distances[::2], distances[1::2])]
            distances = paired + distances[len(paired) * 2 :]
        return distances[0]

    minima = jax.lax.map(block_minimum, padded.reshape(num_blocks, block_size, 3)).T
    blocks = jax.lax.top_k(-minima, num_nearest)[1]
    candidates = (blocks[:, :, None] * block_size + jnp.arange(block_size)).reshape(
        points.shape[0], -1
    )
    squared = sum(
        (fixed_points[:, axis, None] - padded[:, axis][candidates]) ** 2
        for axis in range(3)
    )
    order = jax.lax.top_k(-squared, num_nearest)[1]
    nearest = jnp.take_along_axis(candidates, order, axis=1)
    return _length(points[:, None] - vertices[nearest]), nearest


def closest_point(
    points: jax.Array, vertices: jax.Array, faces: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Finds the closest point of a surface to every point, exactly.

    Differentiable in points and vertices: the face is found without gradients, then the
    closest point on it is computed as a function of both.

    Args:
        points: `(N, 3)`.
        vertices: `(V, 3)`.
        faces: `(F, 3)`, at least one; faces without area count as their edges.

    Returns:
        Closest points `(N, 3)`, their barycentric coordinates `(N, 3)` and their faces
        `(N,)`.
    """
    check_shape("points", points, "N 3")
    check_shape("vertices", vertices, "V 3")
    check_shape("faces", faces, "F 3")
    face = _nearest_face(*map(jax.lax.stop_gradient, (points, vertices)), faces)
    corners = vertices[faces[face]]
    barycentric = _closest_barycentric(points, corners)
    return (barycentric[..., None] * corners).sum(1), barycentric, face


def point_to_surface(
    points: jax.Array, vertices: jax.Array, faces: jax.Array
) -> jax.Array:
    """Returns the distance `(N,)` of every point to a surface, in the points' unit.

    Differentiable; the gradient is 0 for a point on the surface.
    """
    closest, _, _ = closest_point(points, vertices, faces)
    return _length(points - closest)


def _length(vectors: jax.Array) -> jax.Array:
    """Euclidean length with gradient 0 at 0, where the norm has none."""
    squared = (vectors * vectors).sum(-1)
    positive = squared > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1)), 0)


def _nearest_face(points, vertices, faces):
    """Number of the nearest face of every point, `(N,)`.

    Brute force with the points in the lanes and every face as a row of scalars in a
    frame of its own: 80 times faster than vectors of 3 on the minor axis.
    """
    num_faces = faces.shape[0]
    padding = -num_faces % _FACES_A_BLOCK
    numbers = jnp.pad(jnp.arange(num_faces), (0, padding), mode="edge")
    frames = _face_frames(vertices, faces)[numbers]
    frames = frames.reshape(-1, _FACES_A_BLOCK, frames.shape[1])
    x, y, z = points.T

    def block_minimum(block):
        def visit(least, four):
            for frame in four:
                least = jnp.minimum(least, _squared_distance(x, y, z, frame))
            return least, None

        start = jnp.full(x.shape, jnp.inf)
        return jax.lax.scan(visit, start, block.reshape(-1, 4, block.shape[1]))[0]

    # Remembering the face inside the scan would evaluate every distance twice. The
    # winning block is found from the block minima, then its faces are compared again.
    minima = jax.lax.map(block_minimum, frames)
    block = _argmin_rows(minima)
    candidates = frames[block]  # (N, block, 18)
    squared = jnp.stack(
        [_squared_distance(x, y, z, candidates[:, k].T) for k in range(_FACES_A_BLOCK)]
    )
    return numbers[block * _FACES_A_BLOCK + _argmin_rows(squared)]


def _argmin_rows(values: jax.Array) -> jax.Array:
    """`argmin` over the first axis; 20 times faster than XLA's on CPU."""

    def visit(best, turn):
        row, number = turn
        closer = row < best[0]
        return (
            jnp.where(closer, row, best[0]),
            jnp.where(closer, number, best[1]),
        ), None

    start = values[0], jnp.zeros(values.shape[1:], jnp.int32)
    numbers = jnp.arange(values.shape[0], dtype=jnp.int32)
    return jax.lax.scan(visit, start, (values, numbers))[0][1]


def _face_frames(vertices, faces):
    """Origin, axes and planar corner coordinates of every face: `(F, 18)`.

    Corner a is the origin, b lies at (length, 0), c at (cx, cy) in the face's plane.
    """
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    length = _length(b - a)[:, None]
    tiny = 1e-20
    along = jnp.where(
        length > 0, (b - a) / jnp.maximum(length, tiny), jnp.eye(3, dtype=a.dtype)[0]
    )
    height = (c - a) - ((c - a) * along).sum(-1, keepdims=True) * along
    # Of a face without area rounding is left, which must be across as well.
    height = height - (height * along).sum(-1, keepdims=True) * along
    cy = _length(height)[:, None]
    # A face without area is a segment: any direction across it serves as its plane.
    other = jnp.where(jnp.abs(along[:, :1]) < 0.6, jnp.eye(3)[0], jnp.eye(3)[1])
    other = jnp.cross(along, other)
    other = other / _length(other)[:, None]
    across = jnp.where(cy > 0, height / jnp.maximum(cy, tiny), other)
    normal = jnp.cross(along, across)
    cx = ((c - a) * along).sum(-1, keepdims=True)
    inverse_bc = 1 / jnp.maximum((cx - length) ** 2 + cy**2, tiny)
    inverse_ac = 1 / jnp.maximum(cx**2 + cy**2, tiny)
    return jnp.concatenate(
        [a, along, across, normal, length, cx, cy, cx - length, inverse_bc, inverse_ac],
        axis=1,
    )


def _squared_distance(x, y, z, frame):
    """Squared distance of points in the lanes to one face of `_face_frames`."""
    x, y, z = x - frame[0], y - frame[1], z - frame[2]
    u = x * frame[3] + y * frame[4] + z * frame[5]
    v = x * frame[6] + y * frame[7] + z * frame[8]
    w = x * frame[9] + y * frame[10] + z * frame[11]
    length, cx, cy, bx, inverse_bc, inverse_ac = (frame[k] for k in range(12, 18))
    t = jnp.clip(u, 0, length)
    to_ab = (u - t) ** 2 + v * v
    ub = u - length
    t = jnp.clip((ub * bx + v * cy) * inverse_bc, 0, 1)
    to_bc = (ub - t * bx) ** 2 + (v - t * cy) ** 2
    t = jnp.clip((u * cx + v * cy) * inverse_ac, 0, 1)
    to_ac = (u - t * cx) ** 2 + (v - t * cy) ** 2
    above = (v >= 0) & (cy * u - cx * v >= 0) & (bx * v - cy * ub >= 0) & (cy > 0)
    in_plane = jnp.where(above, 0, jnp.minimum(jnp.minimum(to_ab, to_bc), to_ac))
    return in_plane + w * w


def _closest_barycentric(points: jax.Array, corners: jax.Array) -> jax.Array:
    """Barycentric coordinates `(N, 3)` of the closest point of one triangle a point.

    The best of the interior solution (where it lies inside) and the three edges.
    """
    a, b, c = (corners[:, corner] for corner in range(3))

    def on_edge(start, end):
        along = end - start
        squared = (along * along).sum(-1)
        safe = jnp.where(squared > 0, squared, 1)
        return jnp.clip(((points - start) * along).sum(-1) / safe, 0, 1)

    ab, bc, ca = on_edge(a, b), on_edge(b, c), on_edge(c, a)
    zero = jnp.zeros_like(ab)
    options = [
        _interior_barycentric(points, a, b, c),
        jnp.stack([1 - ab, ab, zero], -1),
        jnp.stack([zero, 1 - bc, bc], -1),
        jnp.stack([ca, zero, 1 - ca], -1),
    ]
    weights = jnp.stack(options, axis=1)  # (N, 4, 3)
    offset = (weights[..., None] * corners[:, None]).sum(2) - points[:, None]
    squared = (offset * offset).sum(-1)
    inside = (weights[:, 0] >= 0).all(-1)
    squared = squared.at[:, 0].set(jnp.where(inside, squared[:, 0], jnp.inf))
    best = jnp.argmin(squared, axis=1)
    return jnp.take_along_axis(weights, best[:, None, None], axis=1)[:, 0]


def _interior_barycentric(points, a, b, c):
    """Barycentric coordinates of the foot of the perpendicular on the face's plane."""
    ab, ac, ap = b - a, c - a, points - a
    aa, bb, cc = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    pa, pc = (ap * ab).sum(-1), (ap * ac).sum(-1)
    determinant = aa * cc - bb * bb
    flat = determinant <= 1e-12 * aa * cc
    safe = jnp.where(flat, 1, determinant)
    v, w = (cc * pa - bb * pc) / safe, (aa * pc - bb * pa) / safe
    v, w = (jnp.where(flat, -1.0, weight) for weight in (v, w))
    return jnp.stack([1 - v - w, v, w], axis=-1)
