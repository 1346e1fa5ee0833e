"""Left-right symmetry: the plane x = 0.

The base mesh is exactly symmetric, but the targets differ between the sides by up to
some millimetres. Everything stored is therefore averaged with its mirror image: IEEE
addition commutes and negation is exact, so such an average is symmetric to the bit.
"""

import numpy as np

MIRROR_X = np.array([-1.0, 1.0, 1.0])


def mirror_permutation(points: np.ndarray) -> np.ndarray:
    """Finds the mirror image of each point of an exactly symmetric set.

    Args:
        points: Distinct points, `(n, 3)`.

    Returns:
        Indices `(n,)` such that `points[indices] == points * (-1, 1, 1)`.

    Raises:
        ValueError: If a point has no mirror image.
    """
    # Adding zero turns -0 into +0, so that both have the same bytes.
    index = {tuple(point): i for i, point in enumerate(points + 0.0)}
    mirrored = [index.get(tuple(point)) for point in points * MIRROR_X + 0.0]
    if None in mirrored:
        raise ValueError(f"point {mirrored.index(None)} has no mirror image")
    return np.array(mirrored)


def symmetrise_points(points: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Averages points `(..., n, 3)` with their mirror image."""
    return 0.5 * (points + points[..., mirror, :] * MIRROR_X)


def check_mirror_closed(faces: np.ndarray, mirror: np.ndarray) -> None:
    """Checks that the mirror image of every triangle is a triangle.

    Args:
        faces: Vertex indices, `(m, 3)` int.
        mirror: Mirror vertex of each vertex, `(n,)` int.

    Raises:
        ValueError: If a triangle has no mirror image.
    """
    given = _canonical(faces)
    mirrored = _canonical(mirror[faces][:, ::-1])
    if given != mirrored:
        raise ValueError(f"{len(given - mirrored)} faces have no mirror image")


def _canonical(faces: np.ndarray) -> set[tuple[int, ...]]:
    """Triangles rotated so that each begins with its smallest index."""
    start = faces.argmin(axis=1)[:, None]
    rotated = np.take_along_axis(faces, (start + np.arange(3)) % 3, axis=1)
    return set(map(tuple, rotated.tolist()))
