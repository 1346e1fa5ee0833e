"""Mirror-symmetric reduction of a textured triangle mesh.

A collapse moves a vertex u onto its neighbour v and removes it with the two triangles
on their edge, so every vertex that is left is a vertex of the original mesh. Collapses
come in mirror pairs, cheapest first. The cost is the quadric error at v (the sum of
squared distances to the planes of all triangles merged so far) summed over several
bodies, plus a penalty for long edges.

Source: Garland, Heckbert: Surface simplification using quadric error metrics, SIGGRAPH
1997. Deviations: half-edge collapses, several bodies, mirror pairs, texture seams.
"""

import dataclasses
import heapq

import numpy as np

_LENGTH_PENALTY = 0.15
_MAX_VALENCE = 9
# A triangle may turn by at most this cosine in one collapse.
_MIN_NORMAL_COSINE = 0.35
# Twice the area over the squared longest edge; smaller is a sliver.
_MIN_ROUNDNESS = 0.12
_MIN_DOUBLE_AREA = 1e-9

Corner = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class _Undo:
    """What one collapse has changed."""

    faces: dict[int, tuple[list[int], list[int]]]
    ring: set[int]
    quadrics: list[list[float]]


class Decimator:
    """A mesh that is being reduced.

    Plain lists, sets and floats: the work consists of millions of tiny operations, for
    which they are faster than arrays.

    Attributes:
        faces: Vertex indices and texture indices of the triangles left, by number.
    """

    def __init__(
        self,
        bodies: list[np.ndarray],
        faces: np.ndarray,
        texture_faces: np.ndarray,
        *,
        mirror: np.ndarray,
        importance: np.ndarray,
        fixed: set[int],
    ):
        """Prepares the reduction.

        Args:
            bodies: Shapes whose surfaces are preserved, each `(n, 3)` metres; the first
                one is guarded against folds.
            faces: Closed and mirror-symmetric, `(m, 3)`.
            texture_faces: `(m, 3)`.
            mirror: Mirror vertex of each vertex, `(n,)`.
            importance: Factor of the cost of removing a vertex, `(n,)`.
            fixed: Vertices that are never removed.
        """
        self.faces = dict(enumerate(zip(faces.tolist(), texture_faces.tolist())))
        self._faces_of: dict[int, set[int]] = {}
        for number, (corners, _) in self.faces.items():
            for vertex in corners:
                self._faces_of.setdefault(vertex, set()).add(number)
        self._bodies = [body.tolist() for body in bodies]
        self._quadrics = [_quadrics(body, faces) for body in bodies]
        self._mirror = mirror.tolist()
        self._importance = importance.tolist()
        self._fixed = fixed
        # An entry of the heap is stale when its stamp is not the vertex's own.
        self._stamp = dict.fromkeys(self._faces_of, 0)
        self._heap: list = []
        for vertex in self._faces_of:
            self._push(vertex)

    def run(self, num_vertices: int) -> None:
        """Collapses until `num_vertices` are left.

        Raises:
            ValueError: If no legal collapse is left before.
        """
        surplus = len(self._faces_of) - num_vertices
        while surplus > 0:
            if not self._heap:
                raise ValueError(f"{surplus} vertices too many cannot be removed")
            _, stamp, vertex, options = heapq.heappop(self._heap)
            is_stale = not self._faces_of[vertex] or stamp != self._stamp[vertex]
            # The last single vertex to go has to lie on the middle plane.
            num_removed = 1 if self._mirror[vertex] == vertex else 2
            if not is_stale and num_removed <= surplus:
                surplus -= self._try_options(vertex, stamp, options)

    def _try_options(self, vertex: int, stamp: int, options: tuple) -> int:
        """Collapses a vertex the cheapest legal way; returns the vertices removed."""
        for place, (cost, target) in enumerate(options):
            if place and self._heap and cost > self._heap[0][0]:
                # Another vertex is cheaper now: wait with the options that are left.
                heapq.heappush(self._heap, (cost, stamp, vertex, options[place:]))
                return 0
            touched = self._collapse_pair(vertex, target)
            if touched:
                for neighbour in sorted(touched):
                    if self._faces_of[neighbour]:
                        self._stamp[neighbour] += 1
                        self._push(neighbour)
                return 1 if self._mirror[vertex] == vertex else 2
        return 0

    def _collapse_pair(self, vertex: int, target: int) -> set[int]:
        """Collapses on both sides, or not at all; returns the vertices around."""
        other, other_target = self._mirror[vertex], self._mirror[target]
        if (vertex == other and target != other_target) or target == other:
            return set()
        wedges = self._legal_wedges(vertex, target)
        if wedges is None:
            return set()
        undo = self._collapse(vertex, target, wedges)
        if vertex == other:
            return undo.ring
        # Checked after the first collapse, which may have changed the neighbourhood.
        other_wedges = self._legal_wedges(other, other_target)
        if other_wedges is None:
            self._restore(target, undo)
            return set()
        return undo.ring | self._collapse(other, other_target, other_wedges).ring

    def _push(self, vertex: int) -> None:
        if vertex in self._fixed:
            return
        options = sorted((self._cost(vertex, v), v) for v in self._neighbours(vertex))
        entry = (options[0][0], self._stamp[vertex], vertex, tuple(options))
        heapq.heappush(self._heap, entry)

    def _neighbours(self, vertex: int) -> set[int]:
        faces = self._faces_of[vertex]
        return {v for number in faces for v in self.faces[number][0]} - {vertex}

    def _cost(self, vertex: int, target: int) -> float:
        cost = 0.0
        for quadrics, points in zip(self._quadrics, self._bodies):
            xx, xy, xz, xw, yy, yz, yw, zz, zw, ww = map(
                sum, zip(quadrics[vertex], quadrics[target])
            )
            x, y, z = points[target]
            cost += x * (xx * x + 2 * (xy * y + xz * z + xw))
            cost += y * (yy * y + 2 * (yz * z + yw)) + z * (zz * z + 2 * zw) + ww
            squared_length = _squared_distance(points[vertex], points[target])
            # Fourth power of a length, the same unit as area times squared distance.
            cost += _LENGTH_PENALTY * squared_length * squared_length
        return cost * self._importance[vertex]

    def _legal_wedges(self, vertex: int, target: int) -> dict[int, int] | None:
        """Checks a collapse.

        Returns:
            The texture index that replaces each texture index at `vertex`, or None if
            the collapse would break the surface, its texture seams or its shape.
        """
        around = self._faces_of[vertex]
        shared = around & self._faces_of[target]
        ring, target_ring = self._neighbours(vertex), self._neighbours(target)
        # The link condition: the result is a manifold only with two common neighbours.
        if len(shared) != 2 or len(ring & target_ring) != 2:
            return None
        if len(ring | target_ring) - 2 > _MAX_VALENCE:
            return None
        wedges: dict[int, int] = {}
        for number in shared:
            corners, texture = self.faces[number]
            replaced = texture[corners.index(vertex)]
            replacing = texture[corners.index(target)]
            if wedges.setdefault(replaced, replacing) != replacing:
                return None
        for number in around - shared:
            corners, texture = self.faces[number]
            # A piece of texture that does not reach the target would lose its border.
            if texture[corners.index(vertex)] not in wedges:
                return None
            if not self._keeps_shape(corners, vertex, target):
                return None
        return wedges

    def _keeps_shape(self, corners: list[int], vertex: int, target: int) -> bool:
        """Checks that a triangle neither folds over nor becomes a sliver."""
        points = self._bodies[0]
        before = [points[v] for v in corners]
        after = [points[target if v == vertex else v] for v in corners]
        normal_before, normal_after = _normal(*before), _normal(*after)
        area_before, area_after = _length(normal_before), _length(normal_after)
        if area_after < _MIN_DOUBLE_AREA:
            return False
        cosine = sum(a * b for a, b in zip(normal_before, normal_after))
        if cosine < _MIN_NORMAL_COSINE * area_before * area_after:
            return False
        longest = max(_squared_distance(after[i - 1], after[i]) for i in range(3))
        return area_after >= _MIN_ROUNDNESS * longest

    def _collapse(self, vertex: int, target: int, wedges: dict[int, int]) -> _Undo:
        around = self._faces_of[vertex]
        undo = _Undo(
            faces={number: self.faces[number] for number in around},
            ring=self._neighbours(vertex),
            quadrics=[quadrics[target] for quadrics in self._quadrics],
        )
        for number, (corners, texture) in undo.faces.items():
            for v in corners:
                self._faces_of[v].discard(number)
            if target in corners:
                del self.faces[number]
                continue
            place = corners.index(vertex)
            moved, moved_texture = corners.copy(), texture.copy()
            moved[place], moved_texture[place] = target, wedges[texture[place]]
            self.faces[number] = (moved, moved_texture)
            for v in moved:
                self._faces_of[v].add(number)
        for quadrics in self._quadrics:
            pairs = zip(quadrics[target], quadrics[vertex])
            quadrics[target] = [a + b for a, b in pairs]
        return undo

    def _restore(self, target: int, undo: _Undo) -> None:
        for number, face in undo.faces.items():
            if number in self.faces:
                for v in self.faces[number][0]:
                    self._faces_of[v].discard(number)
            self.faces[number] = face
            for v in face[0]:
                self._faces_of[v].add(number)
        for quadrics, before in zip(self._quadrics, undo.quadrics):
            quadrics[target] = before


def _quadrics(body: np.ndarray, faces: np.ndarray) -> list[list[float]]:
    """Sums the planes around each vertex, weighted by area.

    Returns:
        For each vertex the upper triangle of the symmetric 4x4 matrix, row by row.
    """
    a, b, c = np.moveaxis(body[faces], 1, 0)
    cross = np.cross(b - a, c - a)
    double_area = np.linalg.norm(cross, axis=1, keepdims=True)
    normal = cross / np.maximum(double_area, 1e-20)
    plane = np.concatenate([normal, -(normal * a).sum(axis=1, keepdims=True)], axis=1)
    rows, columns = np.triu_indices(4)
    products = plane[:, rows] * plane[:, columns] * double_area / 2
    total = np.zeros((len(body), len(rows)))
    for corner in range(3):
        np.add.at(total, faces[:, corner], products)
    return total.tolist()


def _normal(a: Corner, b: Corner, c: Corner) -> Corner:
    x, y, z = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    p, q, r = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    return y * r - z * q, z * p - x * r, x * q - y * p


def _length(a: Corner) -> float:
    return (a[0] * a[0] + a[1] * a[1] + a[2] * a[2]) ** 0.5


def _squared_distance(a: Corner, b: Corner) -> float:
    return (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2
