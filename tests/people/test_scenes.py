"""Places: finite light, a floor under the horizon, shadows on it, nothing random."""

import dataclasses

import numpy as np
import pytest

from volhuman.people.cameras import look_at, pixel_rays, view_from_body
from volhuman.people.lighting import sample_light, studio_light
from volhuman.people.scenes import (
    KINDS,
    Background,
    paint_background,
    plain_background,
    render_background,
    sample_background,
)

SIZE, GROUND = 48, -0.9
PLACES = [kind for kind in KINDS if kind != "plain"]


def place(kind, seed=0, **changes):
    drawn = sample_background(np.random.default_rng(seed))
    return dataclasses.replace(drawn, kind=kind, seed=seed, **changes)


def level(focal=3.0, *, yaw=0.3):
    return look_at(yaw, 0.0, 0.0, centre=np.zeros(3), reach=1.2, focal=focal)


@pytest.mark.parametrize("kind", KINDS)
def test_every_place_is_finite_light_from_every_side(kind):
    for seed in range(12):
        generator = np.random.default_rng(seed)
        camera = look_at(
            generator.uniform(-3, 3),
            generator.uniform(-0.2, 0.4),
            0.05,
            centre=np.zeros(3),
            reach=1.2,
            focal=None if seed % 3 == 0 else 3.0,
        )
        light = sample_light(generator)
        picture = paint_background(place(kind, seed), camera, SIZE, light, None, GROUND)
        assert picture.shape == (SIZE, SIZE, 3)
        assert np.isfinite(picture).all() and picture.min() >= 0
        assert picture.max() < 6 and picture.mean() > 0.01


@pytest.mark.parametrize("kind", PLACES)
def test_a_place_is_a_function_of_its_seed(kind):
    paint = lambda seed: render_background(
        place(kind, seed), level(), SIZE, studio_light(), GROUND
    )
    np.testing.assert_array_equal(paint(3), paint(3))
    same = dataclasses.replace(place(kind, 3), seed=4)
    other = render_background(same, level(), SIZE, studio_light(), GROUND)
    assert np.abs(other - paint(3)).max() > 0.005


@pytest.mark.parametrize("kind", KINDS)
def test_the_empty_picture_is_what_is_painted_behind_nobody(kind):
    arguments = place(kind, 5), level(), SIZE, studio_light()
    painted = paint_background(*arguments, None, GROUND)
    rendered = render_background(*arguments, GROUND)
    np.testing.assert_allclose(rendered, np.clip(painted, 0, 1) ** (1 / 2.2))
    everywhere = lambda points: np.ones(len(points))
    near = paint_background(*arguments, everywhere, GROUND)
    assert (near <= painted + 1e-9).all(), "a person only takes light away"


class Recorder:
    """Lets all light pass and remembers which points were asked for."""

    def __init__(self, share):
        self.share, self.points = share, []

    def __call__(self, points):
        self.points.append(points)
        return np.full(len(points), self.share)


@pytest.mark.parametrize("focal", [3.0, None], ids=["pinhole", "weak"])
@pytest.mark.parametrize("kind", PLACES)
def test_shadows_are_looked_up_on_the_floor_below_the_horizon(kind, focal):
    camera, asked = level(focal), Recorder(1.0)
    scene = place(kind, distance=2.0, angle=0.2)
    paint_background(scene, camera, SIZE, studio_light(), asked, GROUND)
    points = np.concatenate(asked.points) if asked.points else np.zeros((0, 3))
    floor = points[np.abs(points[:, 1] - GROUND) < 1e-6]
    assert focal is None or len(floor) > SIZE
    view = view_from_body(camera, floor, np.zeros(3))
    if focal is not None:
        # A level camera at the height of the pelvis has its horizon in the middle.
        assert (view[:, 1] > 0).all()
    assert (np.abs(view[:, :2]) <= 1).all()
    assert (np.hypot(floor[:, 0], floor[:, 2]) < 4).all()
    if kind in ("studio", "room"):
        # In front of the wall.
        forward = np.asarray(camera.rotation)[2]
        c, s = np.cos(0.2), np.sin(0.2)
        normal = [c * forward[0] + s * forward[2], 0, -s * forward[0] + c * forward[2]]
        assert (floor @ normal < 2.0 + 1e-9).all()


@pytest.mark.parametrize("kind", PLACES)
def test_shade_darkens_the_floor_and_not_the_sky(kind):
    scene = place(kind, 2, blur=0.0, distance=3.0, angle=0.0)
    arguments = scene, level(), SIZE, studio_light()
    sunny = paint_background(*arguments, Recorder(1.0), GROUND)
    shady = paint_background(*arguments, Recorder(0.0), GROUND)
    assert (shady <= sunny + 1e-12).all()
    darker = (shady < sunny - 1e-6).any(-1)
    _, direction = pixel_rays(level(), SIZE)
    assert darker[-3:].all(), "the floor at the lower border"
    if kind in ("street", "park"):
        assert not darker[direction[..., 1] > 0].any()


@pytest.mark.parametrize("kind", PLACES)
def test_light_falls_on_every_place_in_proportion(kind):
    """Twice the light is twice the picture; nothing shines by itself."""
    light = studio_light()
    double = dataclasses.replace(
        light, key=2 * light.key, sky=2 * light.sky, ground=2 * light.ground
    )
    scene = place(kind, 3)
    pictures = [
        paint_background(scene, level(), SIZE, one, None, GROUND)
        for one in (light, double)
    ]
    if kind == "street":  # panes reflect light that is not that of the scene
        lower = slice(SIZE // 2 + 8, None)
        pictures = [picture[lower] for picture in pictures]
    np.testing.assert_allclose(pictures[1], 2 * pictures[0], rtol=1e-6)


def test_a_plain_place_is_one_grey_whatever_the_light():
    for grey in (0.0, 0.5, 1.0):
        for seed in range(2):
            light = sample_light(np.random.default_rng(seed))
            picture = render_background(plain_background(grey), level(), 8, light, 0.0)
            np.testing.assert_allclose(picture, grey, atol=1e-12)


@pytest.mark.parametrize("kind", PLACES)
def test_a_place_looks_alike_at_any_size(kind):
    scene = place(kind, 1)
    small, large = (
        render_background(scene, level(), size, studio_light(), GROUND)
        for size in (32, 128)
    )
    shrunk = large.reshape(32, 4, 32, 4, 3).mean((1, 3))
    assert np.abs(small - shrunk).mean() < 0.04


def test_the_floor_at_the_feet_is_sharp_and_the_wall_is_blurred():
    camera = level()
    contrast = {}
    for blur in (0.0, 12.0):
        scene = place("room", 1, blur=blur, distance=1.5, angle=0.0)
        picture = render_background(scene, camera, 96, studio_light(), GROUND)
        steps = np.abs(np.diff(picture, axis=1)).mean((1, 2))
        contrast[blur] = steps[:30].mean(), steps[-4:].mean()
    assert contrast[12.0][0] < 0.5 * contrast[0.0][0], "the wall"
    assert contrast[12.0][1] > 0.6 * contrast[0.0][1], "the floor in front"


def test_drawn_places_are_of_every_kind_and_reproducible():
    drawn = [sample_background(np.random.default_rng(seed)) for seed in range(80)]
    assert {scene.kind for scene in drawn} == set(KINDS)
    for scene in drawn:
        assert isinstance(scene, Background)
        assert scene.colours.shape == (6, 3)
        assert scene.colours.min() >= 0 and scene.colours.max() <= 1
        assert scene.distance > 0.5 and abs(scene.angle) < 0.8 and scene.blur > 0
    again = sample_background(np.random.default_rng(5))
    np.testing.assert_array_equal(again.colours, drawn[5].colours)
    assert sum(KINDS.values()) == pytest.approx(1)
