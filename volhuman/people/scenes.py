"""Procedural places behind a person: studio, rooms, streets and parks.

A place is a floor, a wall somewhere behind the person and a sky, seen along the rays of
the picture and lit by the person's light, shadows included. Everything is a function of
the background's seed; colours inside are linear RGB.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter

from volhuman.geometry.camera import Pinhole, WeakPerspective
from volhuman.people.cameras import pixel_rays
from volhuman.people.lighting import Light
from volhuman.people.noise import fractal_noise, noise, smoothstep

KINDS = {"plain": 0.08, "studio": 0.17, "room": 0.35, "street": 0.22, "park": 0.18}


@dataclasses.dataclass(frozen=True)
class Background:
    """A place.

    Attributes:
        kind: One of `KINDS`.
        seed: Seed of its textures and objects.
        colours: `(6, 3)` linear RGB: floor twice, wall twice, objects twice.
        distance: From the person to the wall, metres.
        angle: Turn of the wall about the vertical, radians.
        blur: Blur of the wall in pixels of a picture of 256.
    """

    kind: str
    seed: int
    colours: np.ndarray
    distance: float
    angle: float
    blur: float


def plain_background(level: float = 1.0) -> Background:
    """A constant grey; 1 is white, as in renderings of scans."""
    colours = np.full((6, 3), float(level) ** 2.2)
    return Background("plain", 0, colours, 1.0, 0.0, 0.0)


def sample_background(generator: np.random.Generator) -> Background:
    """Draws a place."""
    kind = str(generator.choice(list(KINDS), p=list(KINDS.values())))
    hue = generator.uniform(0, 1, (6, 3))
    grey = hue.mean(1, keepdims=True)
    saturation = generator.uniform(0.03, 0.42, (6, 1))
    level = generator.uniform(0.15, 0.95, (6, 1))
    colours = np.clip((grey + saturation * (hue - grey)) / grey * level * 0.6, 0.02, 1)
    return Background(
        kind=kind,
        seed=int(generator.integers(1_000_000)),
        colours=colours**1.6,
        distance=generator.uniform(0.6, 4.5),
        angle=np.deg2rad(generator.uniform(-40, 40)),
        blur=generator.uniform(0.4, 2.6),
    )


def paint_background(
    background: Background,
    camera: Pinhole | WeakPerspective,
    size: int,
    light: Light,
    visibility: Callable[[np.ndarray], np.ndarray] | None,
    ground: float,
) -> np.ndarray:
    """Paints what is behind the person.

    Args:
        background: The place.
        camera: Camera of the picture.
        size: Side of the picture in pixels.
        light: The light of the person.
        visibility: Share of the key light that reaches body-space points `(N, 3)`;
            None where nobody stands there.
        ground: y of the floor in body space.

    Returns:
        `(size, size, 3)` linear RGB.
    """
    if background.kind == "plain":
        return np.tile(background.colours[0], (size, size, 1))
    origin, direction = (ray.reshape(-1, 3) for ray in pixel_rays(camera, size))
    to_floor = _distance(origin[:, 1] - ground, -direction[:, 1])
    forward = np.asarray(camera.rotation, np.float64)[2] * [1, 0, 1]
    forward /= max(np.linalg.norm(forward), 1e-6)
    normal = _turn_y(forward, background.angle)
    to_wall = _distance(background.distance - origin @ normal, direction @ normal)
    if background.kind in ("studio", "room"):
        sees_wall = to_wall < to_floor
        sees_floor = ~sees_wall & np.isfinite(to_floor)
    else:
        sees_floor = np.isfinite(to_floor) & (to_floor < 60)
        sees_wall = ~sees_floor
    colour = np.tile(light.sky * [0.75, 0.9, 1.1], (len(origin), 1))
    if sees_floor.any():
        points = origin[sees_floor] + to_floor[sees_floor, None] * direction[sees_floor]
        albedo = _floor(background, points)
        colour[sees_floor] = albedo * _lighting(light, visibility, points, [0, 1.0, 0])
    if sees_wall.any():
        far = origin[sees_wall], direction[sees_wall], to_wall[sees_wall]
        colour[sees_wall] = _behind(background, *far, normal, ground, light, visibility)
    picture = colour.reshape(size, size, 3)
    sigma = background.blur * size / 256
    blurred = gaussian_filter(picture, (sigma, sigma, 0), mode="nearest")
    # The floor at the person's feet is in focus.
    weight = np.where(sees_floor, smoothstep(to_floor, *_focus(to_floor)), 1.0)
    weight = gaussian_filter(weight.reshape(size, size), sigma)[..., None]
    return picture * (1 - weight) + blurred * weight


def render_background(
    background: Background,
    camera: Pinhole | WeakPerspective,
    size: int,
    light: Light,
    ground: float,
) -> np.ndarray:
    """Renders a place without the person: `(size, size, 3)` sRGB in [0, 1]."""
    picture = paint_background(background, camera, size, light, None, ground)
    return np.clip(picture, 0, 1) ** (1 / 2.2)


def _focus(distance):
    """Where the floor begins to blur and where it is as blurred as the wall."""
    nearest = distance.min() if np.isfinite(distance).any() else 0.0
    return nearest + 1.0, nearest + 5.0


def _distance(height, slope):
    """Ray parameter at which a plane is met, infinity where it is not."""
    with np.errstate(divide="ignore", invalid="ignore"):
        t = height / slope
    return np.where((slope > 1e-4) & (t > 0), t, np.inf)


def _turn_y(vector, angle):
    x, y, z = vector
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([cosine * x + sine * z, y, -sine * x + cosine * z])


def _lighting(light, visibility, points, normal):
    """Light `(N, 3)` that arrives at points of a plane."""
    normal = np.asarray(normal)
    facing = max(float(normal @ light.direction), 0.0)
    visible, contact = np.ones(len(points)), np.ones(len(points))
    near = np.hypot(points[:, 0], points[:, 2])
    close = near < 4
    if visibility is not None and close.any():
        visible[close] = visibility(points[close])
        contact -= 0.35 * np.exp(-((near / 0.35) ** 2)) * (normal[1] > 0.5)
    up = 0.5 + 0.5 * normal[1]
    ambient = up * light.sky + (1 - up) * light.ground
    return facing * visible[:, None] * light.key + contact[:, None] * ambient


def _flat(points):
    """Plane coordinates of floor points as noise input."""
    return np.stack([points[:, 0], 0 * points[:, 0], points[:, 2]], axis=1)


def _floor(background: Background, points):
    """Albedo of the floor: planks, tiles, carpet, asphalt or grass."""
    seed, (first, second, *_) = background.seed, background.colours
    grain = fractal_noise(_flat(points) * 6, octaves=3, seed=seed)
    if background.kind == "studio":
        return first * (1 + 0.03 * grain)[:, None]
    if background.kind == "park":
        blades = noise(_flat(points) * [70, 1, 70], seed=seed + 1)
        green = np.array([0.10, 0.17, 0.05]) * (0.5 + first)
        return np.clip(green * (1 + 0.4 * blades + 0.3 * grain)[:, None], 0.005, 1)
    if background.kind == "street":
        speckle = noise(_flat(points) * [140, 1, 140], seed=seed + 1)
        grey = first.mean() * 0.5 + 0.08
        joint = _grid(points[:, 0], points[:, 2], 0.6, 0.6, 0.015) * (seed % 2)
        shade = 1 + 0.18 * speckle + 0.15 * grain - 0.4 * joint
        return np.clip(np.full(3, grey) * shade[:, None], 0.005, 1)
    style = seed % 3
    if style == 0:  # planks
        row = np.floor(points[:, 0] / 0.14)
        tone = noise(np.stack([row * 3.7, 0 * row, 0 * row], axis=1), seed=seed)
        fibre = noise(_flat(points) * [90, 1, 6], seed=seed + 1)
        gap = _grid(points[:, 0], points[:, 2] + row * 0.37, 0.14, 1.3, 0.004)
        shade = 1 + 0.2 * tone + 0.12 * fibre - 0.6 * gap
        return np.clip(first * [1.1, 0.8, 0.55] * shade[:, None], 0.005, 1)
    if style == 1:  # tiles
        checker = (np.floor(points[:, 0] / 0.4) + np.floor(points[:, 2] / 0.4)) % 2
        joint = _grid(points[:, 0], points[:, 2], 0.4, 0.4, 0.008)
        tile = np.where(checker[:, None] > 0, first, 0.6 * first + 0.4 * second)
        return tile * (1 + 0.05 * grain - 0.4 * joint)[:, None]
    pile = noise(_flat(points) * [160, 1, 160], seed=seed + 2)
    return np.clip(first * (1 + 0.2 * pile + 0.1 * grain)[:, None], 0.005, 1)


def _grid(u, v, width, height, joint):
    """1 on the joints of a grid, 0 on its fields."""
    across = np.minimum(np.mod(u, width), width - np.mod(u, width))
    along = np.minimum(np.mod(v, height), height - np.mod(v, height))
    return (np.minimum(across, along) < joint).astype(float)


def _behind(background, origin, direction, to_wall, normal, ground, light, visibility):
    """Light from the wall, the facades or the trees and the sky."""
    finite = np.where(np.isfinite(to_wall), to_wall, 50.0)
    points = origin + finite[:, None] * direction
    along = points @ np.array([normal[2], 0, -normal[0]])
    height = points[:, 1] - ground
    if background.kind == "studio":
        rise = 0.85 + 0.15 * smoothstep(height, -0.2, 1.8)
        lit = _lighting(light, visibility, points, -normal)
        # A seamless backdrop takes the floor's light where it bends.
        bend = smoothstep(height, 0.0, 0.7)[:, None]
        floor = _lighting(light, visibility, points, [0, 1.0, 0])
        return background.colours[0] * rise[:, None] * (lit * bend + floor * (1 - bend))
    if background.kind == "room":
        albedo = _wall(background, along, height)
        return albedo * _lighting(light, visibility, points, -normal)
    painter = _FAR[background.kind]
    elevation = np.arctan2(direction[:, 1], np.hypot(direction[:, 0], direction[:, 2]))
    azimuth = np.arctan2(direction[:, 0], direction[:, 2])
    return painter(background, azimuth, elevation, light)


def _wall(background: Background, u, v):
    """Albedo of a wall with wainscot, bricks or paper, and things that hang on it."""
    seed = background.seed
    _, _, first, second, third, fourth = background.colours
    points = np.stack([u, v, 0 * u], axis=1)
    stain = fractal_noise(points * 1.5, octaves=3, seed=seed + 7)
    albedo = np.tile(first, (len(u), 1)) * (1 + 0.06 * stain)[:, None]
    style = seed // 3 % 4
    if style == 0:  # bricks
        row = np.floor(v / 0.075)
        shifted = u + 0.11 * np.mod(row, 2)
        brick = np.stack([np.floor(shifted / 0.22), row, 0 * row], axis=1)
        tone = noise(brick * 2.37 + 0.5, seed=seed)
        joint = _grid(shifted, v, 0.22, 0.075, 0.006)
        clay = first * [1.2, 0.7, 0.55]
        albedo = clay * (1 + 0.3 * tone + 0.06 * stain)[:, None]
        albedo = albedo * (1 - joint[:, None]) + 0.5 * second * joint[:, None]
    elif style == 1:  # wainscot
        low = (v < 1.0)[:, None]
        panel = _grid(u, v - 0.5, 0.6, 1.0, 0.012)[:, None]
        albedo = np.where(low, second * (1 - 0.35 * panel), albedo)
    elif style == 2:  # striped paper
        albedo = np.where((np.mod(u, 0.16) < 0.08)[:, None], albedo, 0.8 * albedo)
    skirting = ((v < 0.1) & (v > 0))[:, None]
    albedo = np.where(skirting, 0.6 * second + 0.15, albedo)
    return np.clip(_hang_on_wall(albedo, u, v, seed, third, fourth), 0.005, 1)


def _hang_on_wall(albedo, u, v, seed, third, fourth):
    """Pictures, a window, a door, shelves: framed rectangles."""
    generator = np.random.default_rng([20200614, seed, 1])
    for _ in range(generator.integers(1, 7)):
        centre = generator.uniform(-2.6, 2.6), generator.uniform(0.5, 2.0)
        half = generator.uniform(0.12, 0.6), generator.uniform(0.12, 0.55)
        if generator.random() < 0.2:  # a door
            centre, half = (centre[0], 1.0), (0.45, 1.05)
        colour = third if generator.random() < 0.5 else fourth
        colour = colour * generator.uniform(0.4, 1.5)
        across, up = np.abs(u - centre[0]) / half[0], np.abs(v - centre[1]) / half[1]
        inside = np.maximum(across, up) < 1
        frame = inside & (np.maximum(across, up) > generator.uniform(0.8, 0.97))
        at = np.stack([u, v, 0 * u], axis=1)[inside] * generator.uniform(2, 9)
        motif = fractal_noise(at, octaves=2, seed=int(generator.integers(1000)))
        albedo[inside] = colour * (1 + 0.5 * motif)[:, None]
        albedo[frame] = 0.25 * fourth
    return albedo


def _sky(background, elevation, light):
    """Sky from the horizon up, with clouds."""
    high = smoothstep(elevation, 0.0, 0.9)[:, None]
    return light.sky * ((1 - high) * [1.0, 1.0, 1.0] + high * [0.5, 0.75, 1.15]) * 1.1


def _facades(background, azimuth, elevation, light):
    """A row of houses with windows under the sky."""
    seed, colours = background.seed, background.colours
    house = np.floor(azimuth / 0.22)
    cell = np.stack([house * 5.1, 0 * house, 0 * house], axis=1)
    tone = noise(cell + 0.3, seed=seed)
    roof = 0.28 + 0.16 * noise(cell + 9.7, seed=seed + 1)
    u, v = np.mod(azimuth / 0.22, 1), elevation / 0.06 + 0.2
    wall = colours[2] + (colours[3] - colours[2]) * (0.5 + 0.5 * tone)[:, None]
    pane = (np.abs(np.mod(u * 4, 1) - 0.5) < 0.28) & (np.abs(np.mod(v, 1) - 0.5) < 0.3)
    window = np.stack([np.floor(u * 4) + house * 4, np.floor(v), 0 * u], axis=1)
    glint = noise(window * 1.9, seed=seed + 2)
    glass = np.array([0.1, 0.13, 0.18]) * (1.2 + glint)[:, None] * light.sky
    facade = np.where(pane[:, None], glass, wall * (light.sky + 0.4 * light.key))
    above = (elevation > roof)[:, None]
    return np.where(above, _sky(background, elevation, light), facade)


def _trees(background, azimuth, elevation, light):
    """Bushes and trees against the sky."""
    seed = background.seed
    at = np.stack([azimuth * 6, elevation * 9, 0 * azimuth], axis=1)
    canopy = 0.16 + 0.22 * (1 + noise(at * [0.4, 0, 0], seed=seed))
    ragged = 0.05 * fractal_noise(at * 3, octaves=2, seed=seed + 1)
    leaves = fractal_noise(at * 5, octaves=3, seed=seed + 2)
    green = np.array([0.07, 0.12, 0.04]) * (0.5 + background.colours[2])
    trunk = np.abs(noise(at * [1.7, 0.05, 1], seed=seed + 3)) < 0.05
    foliage = np.clip(green * (1 + 0.7 * leaves)[:, None], 0.004, 1)
    bark = trunk & (elevation < 0.1)
    foliage = np.where(bark[:, None], [0.06, 0.045, 0.035], foliage)
    foliage = foliage * (light.sky + 0.7 * light.key)
    above = (elevation > canopy + ragged)[:, None]
    return np.where(above, _sky(background, elevation, light), foliage)


_FAR: dict[str, Callable] = {"street": _facades, "park": _trees}
