"""Fabric that hangs from the waist: skirts, dresses, coats and shirt tails.

Each meridian of the fabric starts at the waist and is laid down step by step: straight
down and a little outwards while it is free, along the body where a leg is in the way,
until its length is used up. So a skirt is tight over spread legs, lies on the thighs of
who sits and falls from the knees, and never cuts through a leg. The body that it must
clear is taken as the convex outline of each horizontal slice, as taut fabric would.

Everything happens in the frame of the pelvis: metres, y up along the trunk.
"""

import numpy as np

from volhuman.people.noise import smoothstep
from volhuman.people.recipe import Hanging

NUM_MERIDIANS = 96
_STEP = 0.018
_SLICE = 0.02
# The fabric comes out of the garment above it over this length.
_EMERGES = 0.05
_START_INSIDE = 0.014
_LID_RISE = 0.015
_STRETCH = 0.03


def drape(hanging: Hanging, waist: np.ndarray, obstacle: np.ndarray) -> np.ndarray:
    """Lays a tube of fabric around a body.

    Args:
        hanging: The garment; its uppermost ring is at its `top`.
        waist: `(M, 3)` points of the body around that ring, in the frame of the pelvis.
        obstacle: `(N, 3)` points that the fabric must clear, in the same frame.

    Returns:
        `(R, NUM_MERIDIANS, 3)` rings from the waist to the hem.
    """
    angles = np.arange(NUM_MERIDIANS) * (2 * np.pi / NUM_MERIDIANS)
    directions = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    start = hanging.top
    outline = _Outline(obstacle, directions, start)
    support = (waist[:, [0, 2]] @ directions.T).max(0)
    ring = _radius_of_hull(support[None], directions @ directions.T)[0]
    num_steps = max(4, round(hanging.length / _STEP))
    radius, height = _lay(hanging, outline, start, ring - _START_INSIDE, num_steps)
    laid = radius, height
    # Neighbouring meridians share their fabric: no spikes over a knee.
    for _ in range(3):
        radius = 0.5 * radius + 0.25 * (np.roll(radius, 1, 1) + np.roll(radius, -1, 1))
        height = 0.5 * height + 0.25 * (np.roll(height, 1, 1) + np.roll(height, -1, 1))
    needed = outline.radius(height) + _clearance(hanging, start - height)
    # Where smoothing sinks fabric deep into a thigh that it lies on, it is undone.
    sunk = needed > radius + _STRETCH
    radius[1:] = np.where(sunk, laid[0], np.maximum(radius, needed))[1:]
    height = np.where(sunk, laid[1], height)
    needed = outline.radius(height) + _clearance(hanging, start - height)
    radius[1:] = np.maximum(radius, np.minimum(needed, radius + _STRETCH))[1:]
    radius = radius + _pleats(hanging, angles, radius - needed)
    flat = radius[..., None] * directions
    return np.stack([flat[..., 0], height, flat[..., 1]], axis=-1)


class _Outline:
    """Radius of the convex outline of every horizontal slice of a point set."""

    def __init__(self, points, directions, start):
        # A knee above the waist is not in the way of what hangs from there.
        points = points[points[:, 1] < start]
        lowest = min(points[:, 1].min(initial=start), start - 1.2)
        self.start = start
        count = int(np.ceil((start - lowest) / _SLICE)) + 2
        index = ((start - points[:, 1]) / _SLICE).astype(int)
        support = np.full((count, len(directions)), -np.inf)
        reach = points[:, [0, 2]] @ directions.T
        order = np.argsort(index, kind="stable")
        filled, first = np.unique(index[order], return_index=True)
        support[filled] = np.maximum.reduceat(reach[order], first, axis=0)
        # A point also blocks the slices above and below its own.
        padded = np.pad(support, ((1, 1), (0, 0)), constant_values=-np.inf)
        support = np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])
        table = _radius_of_hull(support, directions @ directions.T)
        # And the meridians beside its own: a leg that is kicked aside is narrow.
        beside = np.maximum(np.roll(table, 1, 1), np.roll(table, -1, 1))
        self.table = np.maximum(table, beside)

    def radius(self, height):
        """Outline `(..., M)` at heights `(..., M)`, 0 where nothing is in the way."""
        position = np.clip((self.start - height) / _SLICE - 0.5, 0, None)
        low = np.minimum(position.astype(int), len(self.table) - 2)
        t = np.clip(position - low, 0, 1)
        meridian = np.arange(self.table.shape[1])
        return (1 - t) * self.table[low, meridian] + t * self.table[low + 1, meridian]


def _radius_of_hull(support, cosine):
    """Distance from the axis to the far side of convex outlines, along each direction.

    Support values h_k bound the outline by p . d_k <= h_k. An outline beside the axis
    is met by some directions only; the others get 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = support[:, None, :] / cosine[None]
    ratio = np.where(np.isfinite(support)[:, None, :], ratio, 0)
    far = np.where(cosine > 1e-6, ratio, np.inf).min(-1)
    near = np.where(cosine < -1e-6, ratio, -np.inf).max(-1)
    return np.where((far > 0) & (far >= near), far, 0.0)


def _lay(hanging, outline, start, radius, num_steps):
    """Radius and height `(num_steps + 1, M)` of the fabric along its meridians."""
    step = hanging.length / num_steps
    height = np.full(NUM_MERIDIANS, start)
    outwards = hanging.flare / np.hypot(1, hanging.flare)
    radii, heights = [radius], [height]
    for _ in range(num_steps):
        placed = np.zeros(NUM_MERIDIANS, bool)
        new_radius, new_height = radius + step, height.copy()
        for down in (np.sqrt(1 - outwards**2), 0.85, 0.65, 0.45, 0.25, 0.1):
            lower = height - down * step
            free = radius + outwards * step if not placed.any() else radius
            needed = outline.radius(lower) + _clearance(hanging, start - lower)
            wanted = np.maximum(free, needed)
            fits = ~placed & (wanted - radius <= step * np.sqrt(1 - down**2) + 1e-9)
            new_radius = np.where(fits, wanted, new_radius)
            new_height = np.where(fits, lower, new_height)
            placed |= fits
        radius, height = new_radius, new_height
        radii.append(radius)
        heights.append(height)
    return np.array(radii), np.array(heights)


def _clearance(hanging, below):
    """Distance to keep from the body at a depth below the uppermost ring."""
    emerged = smoothstep(below, 0.0, _EMERGES)
    return hanging.clearance - (1 - emerged) * (hanging.clearance + _START_INSIDE)


def _pleats(hanging, angles, room):
    """Waves around the fabric, deeper towards the hem and where it is slack."""
    along = np.linspace(0, 1, len(room))[:, None]
    wave = np.sin(
        hanging.pleats * angles + hanging.phase + 1.5 * np.sin(2 * angles + along)
    )
    slack = np.clip(room / 0.03, 0.15, 1)
    return hanging.pleat_depth * smoothstep(along, 0.05, 0.7) * slack * (wave + 0.6)


def close_tube(rings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Closes a tube: a lid inside the body, and a recessed one above the hem.

    Args:
        rings: `(R, M, 3)` from top to bottom.

    Returns:
        Vertices `(R M + M + 2, 3)`, and faces with normals outwards.
    """
    num_rings, count = rings.shape[:2]
    lid = rings[0].mean(0)
    # The lower lid lies a little up the tube, so that the hem reads as an edge.
    recess = rings[-1 - min(2, num_rings - 2)]
    inner = recess.mean(0) + 0.9 * (recess - recess.mean(0))
    bottom = inner.mean(0) + np.array([0, _LID_RISE, 0])
    vertices = np.concatenate([rings.reshape(-1, 3), inner, [lid], [bottom]])
    return vertices, tube_faces(num_rings + 1, count)


def tube_faces(num_rings: int, count: int) -> np.ndarray:
    """Faces of `num_rings` rings of `count` vertices, followed by two end points."""
    around = np.arange(count)
    nearby = (around + 1) % count
    top, bottom = num_rings * count, num_rings * count + 1
    faces = [np.stack([np.full(count, top), around, nearby], axis=1)]
    for ring in range(num_rings - 1):
        a, b = ring * count + around, ring * count + nearby
        c, d = a + count, b + count
        faces += [np.stack([a, c, b], axis=1), np.stack([b, c, d], axis=1)]
    last = (num_rings - 1) * count
    end = np.stack([last + nearby, last + around, np.full(count, bottom)], axis=1)
    return np.concatenate([*faces, end])
