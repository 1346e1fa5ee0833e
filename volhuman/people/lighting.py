"""Light on a person: a key light with shadows, sky and ground, occlusion, highlights.

Directions are in body space unless named otherwise: y is up, and the light's direction
points towards it. Colours of lights are linear RGB.
"""

import dataclasses

import numpy as np

from volhuman.people.recipe import LABEL
from volhuman.render.rasterize import rasterize

_SHADOW_SIZE = 384
_SHADOW_BIAS = 0.012
_TAPS = ((0.0, 0.0), (0.8, 0.3), (-0.7, 0.6), (0.2, -0.9), (-0.5, -0.6))


@dataclasses.dataclass(frozen=True)
class Light:
    """Lighting of a scene.

    Attributes:
        direction: `(3,)` unit vector towards the key light.
        key: `(3,)` linear RGB of the key light.
        sky: `(3,)` linear RGB from above.
        ground: `(3,)` linear RGB from below.
        softness: Blur of its shadows in metres.
    """

    direction: np.ndarray
    key: np.ndarray
    sky: np.ndarray
    ground: np.ndarray
    softness: float


def sample_light(generator: np.random.Generator) -> Light:
    """Draws a light: from hard sun to an overcast sky, from any side but below."""
    azimuth, elevation = generator.uniform(-np.pi, np.pi), generator.uniform(0.25, 1.25)
    if generator.random() < 0.7:  # mostly from the half in front of the person
        azimuth *= 0.45
    direction = np.array(
        [
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
            np.cos(elevation) * np.cos(azimuth),
        ]
    )
    overcast = generator.random()
    key = (1.25 - 0.75 * overcast) * generator.uniform(0.8, 1.1)
    ambient = (0.42 + 0.4 * overcast) * generator.uniform(0.85, 1.15)
    warmth = 0.08 * generator.standard_normal()
    tint = np.array([1 + warmth, 1, 1 - warmth])
    return Light(
        direction=direction,
        key=key * np.clip(tint, 0.7, 1.3),
        sky=ambient * np.array([0.98, 1.0, 1.06]) / np.clip(tint, 0.7, 1.3) ** 0.5,
        ground=ambient * generator.uniform(0.3, 0.7) * np.array([0.95, 0.9, 0.84]),
        softness=0.004 + 0.03 * overcast,
    )


def studio_light() -> Light:
    """A fixed, even light from the front, above the viewer's right shoulder."""
    direction = np.array([-0.45, 0.55, 0.7])
    return Light(
        direction / np.linalg.norm(direction),
        np.full(3, 0.75),
        np.full(3, 0.5),
        np.full(3, 0.3),
        0.01,
    )


class ShadowMap:
    """Depth of a person as the light sees it."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, light: Light):
        """Draws the map.

        Args:
            vertices: `(N, 3)` body space.
            faces: `(F, 3)`, closed.
            light: The light.
        """
        towards = light.direction
        helper = (
            np.array([0.0, 0, 1]) if abs(towards[1]) > 0.9 else np.array([0, 1.0, 0])
        )
        right = np.cross(helper, towards)
        right /= np.linalg.norm(right)
        # x right, y down, z away from the light: the axes of a picture.
        self._axes = np.stack([right, -np.cross(towards, right), -towards])
        seen = vertices @ self._axes.T
        low, high = seen[:, :2].min(0), seen[:, :2].max(0)
        self._centre = (low + high) / 2
        self._scale = 0.96 * _SHADOW_SIZE / max((high - low).max(), 1e-3)
        self._blur = light.softness * self._scale
        # Faces turned away from the light: a lit surface then never shades itself.
        self._depth = rasterize(
            self._pixels(seen), faces, (_SHADOW_SIZE, _SHADOW_SIZE), keep="back"
        ).depth

    def _pixels(self, seen):
        xy = (seen[:, :2] - self._centre) * self._scale + _SHADOW_SIZE / 2
        return np.concatenate([xy, seen[:, 2:]], axis=1)

    def visibility(self, points: np.ndarray) -> np.ndarray:
        """Share of the light that reaches body-space points `(N, 3)`: `(N,)`."""
        at = self._pixels(points @ self._axes.T)
        total = np.zeros(len(points))
        for tap in _TAPS:
            offset = np.array(tap) * (0.7 + self._blur)
            column, row = np.floor(at[:, :2] + offset).astype(np.int64).T
            inside = (column >= 0) & (row >= 0)
            inside &= (column < _SHADOW_SIZE) & (row < _SHADOW_SIZE)
            depth = np.full(len(points), np.inf)
            depth[inside] = self._depth[row[inside], column[inside]]
            total += at[:, 2] < depth + _SHADOW_BIAS
        return total / len(_TAPS)


def ambient_occlusion(depth: np.ndarray, metres: float) -> np.ndarray:
    """Darkens creases: how much of the sky the surroundings hide in a depth picture.

    Args:
        depth: `(H, W)` in metres, infinity where empty.
        metres: Width of a pixel in metres.

    Returns:
        `(H, W)` in [0.25, 1]: 1 on surfaces that face the viewer, lower on slanted
        ones and in creases.
    """
    height, width = depth.shape
    rows, columns = np.nonzero(np.isfinite(depth))
    own, hidden = depth[rows, columns], np.zeros(len(rows))
    num_taps, reach = 12, 0.09 / metres
    for tap in range(num_taps):
        angle, distance = 2.4 * tap, reach * np.sqrt((tap + 0.5) / num_taps)
        distance *= 1.0 if tap % 2 else 0.35
        i = np.clip((rows + distance * np.sin(angle)).astype(np.int64), 0, height - 1)
        j = np.clip((columns + distance * np.cos(angle)).astype(np.int64), 0, width - 1)
        # Nearer by a little hides; nearer by much is another part in front.
        nearer = own - depth[i, j] - 0.15 * distance * metres
        hidden += np.clip(nearer / 0.03, 0, 1) * np.clip(2 - nearer / 0.15, 0, 1)
    occlusion = np.ones(depth.shape)
    occlusion[rows, columns] = 1 - 0.75 * np.clip(hidden / num_taps * 1.8, 0, 1)
    return occlusion


def shade(
    light: Light,
    colour: np.ndarray,
    gloss: np.ndarray,
    label: np.ndarray,
    normal: np.ndarray,
    towards_viewer: np.ndarray,
    visibility: np.ndarray,
    occlusion: np.ndarray,
) -> np.ndarray:
    """Computes the light that N surface points send to the viewer.

    Args:
        light: The light.
        colour: `(N, 3)` sRGB colours of the surface.
        gloss: `(N,)`.
        label: `(N,)` garment labels; skin scatters, hair has wide highlights.
        normal: `(N, 3)` unit normals, body space.
        towards_viewer: `(N, 3)` or `(3,)` unit vectors.
        visibility: `(N,)` share of the key light that arrives.
        occlusion: `(N,)` share of the sky that arrives.

    Returns:
        `(N, 3)` linear RGB, not clipped.
    """
    linear = np.clip(colour, 0, 1) ** 2.2
    facing = normal @ light.direction
    key = np.clip(facing, 0, 1) * visibility
    skin = label == LABEL["skin"]
    # Light bleeds past the terminator on skin, mostly red.
    bleed = np.where(
        skin, np.clip((facing + 0.35) / 1.35, 0, 1) - np.clip(facing, 0, 1), 0
    )
    direct = key[:, None] + (bleed * visibility)[:, None] * [0.30, 0.10, 0.06]
    up = 0.5 + 0.5 * normal[:, 1]
    ambient = up[:, None] * light.sky + (1 - up)[:, None] * light.ground
    radiance = linear * (direct * light.key + ambient * occlusion[:, None])
    half = light.direction + towards_viewer
    half = half / np.maximum(np.linalg.norm(half, axis=-1, keepdims=True), 1e-6)
    sharpness = np.where(label == LABEL["hair"], 12, 25)
    highlight = gloss * np.clip((normal * half).sum(1), 0, 1) ** sharpness * visibility
    grazing = 1 - np.clip((normal * towards_viewer).sum(1), 0, 1)
    rim = 0.04 * grazing**4 * occlusion
    return radiance + (0.5 * highlight)[:, None] * light.key + rim[:, None] * light.sky
