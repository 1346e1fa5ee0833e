"""Light: shadows where geometry puts them, occlusion in creases, linear shading."""

import dataclasses

import numpy as np
import pytest
import trimesh

from volhuman.people.lighting import (
    Light,
    ShadowMap,
    ambient_occlusion,
    sample_light,
    shade,
    studio_light,
)
from volhuman.people.recipe import LABEL

CENTRE, RADIUS = np.array([0.1, 1.0, -0.2]), 0.3


@pytest.fixture(scope="module")
def ball():
    mesh = trimesh.creation.icosphere(subdivisions=4, radius=RADIUS)
    return np.array(mesh.vertices) + CENTRE, np.array(mesh.faces)


def light_from(*direction, softness=0.004):
    direction = np.array(direction, float) / np.linalg.norm(direction)
    return dataclasses.replace(studio_light(), direction=direction, softness=softness)


DIRECTIONS = [
    (0.3, 0.6, 0.7),
    (-0.8, 0.5, 0.1),
    (0, 1, 0),
    (0.05, 1, -0.1),
    (1, 0.3, -1),
]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_ball_casts_its_shadow_where_rays_to_the_light_meet_it(ball, direction):
    light = light_from(*direction)
    visible = ShadowMap(*ball, light).visibility
    # Floor points around the middle of the shadow.
    middle = CENTRE - light.direction * CENTRE[1] / light.direction[1]
    floor = np.random.default_rng(0).uniform(-1.5, 1.5, (20_000, 3))
    floor[:, 1] = 0
    floor[:, [0, 2]] += middle[[0, 2]]
    to_centre = CENTRE - floor
    along = to_centre @ light.direction
    distance = np.sqrt(np.maximum((to_centre**2).sum(1) - along**2, 0))
    share = visible(floor)
    assert (share[distance < RADIUS - 0.012] == 0).all()
    assert (share[distance > RADIUS + 0.012] == 1).all()
    assert (distance < RADIUS - 0.012).sum() > 300


def test_nothing_is_shaded_between_the_light_and_the_ball(ball):
    light = light_from(0.2, 0.7, 0.4)
    towards = CENTRE + light.direction * np.linspace(0.35, 3, 20)[:, None]
    assert (ShadowMap(*ball, light).visibility(towards) == 1).all()
    away = CENTRE - light.direction * np.linspace(0.35, 3, 20)[:, None]
    assert (ShadowMap(*ball, light).visibility(away) == 0).all()


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("softness", [0.0, 0.03])
def test_a_convex_body_does_not_shade_its_lit_side(ball, direction, softness):
    light = light_from(*direction, softness=softness)
    normals = (ball[0] - CENTRE) / RADIUS
    lit = normals @ light.direction > 0.15
    assert (ShadowMap(*ball, light).visibility(ball[0][lit]) == 1).all()


def test_soft_light_blurs_the_border_of_a_shadow(ball):
    widths = []
    line = np.linspace(-0.5, 0.5, 4001)
    floor = np.stack([CENTRE[0] + line, 0 * line, CENTRE[2] + 0 * line], axis=1)
    for softness in (0.004, 0.034):
        light = light_from(0, 1, 0, softness=softness)
        share = ShadowMap(*ball, light).visibility(floor)
        widths.append(((share > 0) & (share < 1)).mean())
    assert widths[1] > 3 * widths[0] > 0


def test_one_person_shades_itself(posed_of):
    """The far thigh of a bent person lies in the shadow of the near one."""
    posed = posed_of(0, "rest")
    light = light_from(1, 0.15, 0)
    shadow = ShadowMap(posed.vertices, posed.faces, light)
    rest, points = posed.parts[0].rest, posed.parts[0].vertices
    knees = np.abs(rest[:, 1] + 0.41) < 0.03
    outer = knees & (rest[:, 0] > 0.16)
    other = knees & (rest[:, 0] < -0.05) & (rest[:, 0] > -0.1)
    assert shadow.visibility(points[outer]).mean() > 0.9
    assert shadow.visibility(points[other]).mean() < 0.3


@pytest.mark.parametrize("slope", [0.0, 0.05, -0.1])
def test_planes_that_face_the_viewer_see_the_whole_sky(slope):
    x = np.arange(48) * 0.01
    depth = 2 + slope * np.tile(x, (48, 1))
    np.testing.assert_allclose(ambient_occlusion(depth, 0.01), 1)


def test_creases_are_darker_than_ridges():
    across = np.abs(np.arange(64) - 31.5) * 0.01
    valley = ambient_occlusion(2 - np.tile(across, (64, 1)), 0.01)[32]
    ridge = ambient_occlusion(2 + np.tile(across, (64, 1)), 0.01)[32]
    assert 0.25 <= valley[31] < 0.6 and ridge[31] == 1


def test_occlusion_is_one_where_empty_and_ignores_what_is_far_in_front():
    depth = np.full((48, 48), np.inf)
    depth[10:30, 10:30] = 2.0
    np.testing.assert_allclose(ambient_occlusion(depth, 0.01), 1)
    depth[:, 20:] = 1.0  # an arm held well before the body
    occlusion = ambient_occlusion(depth, 0.01)
    assert np.isfinite(occlusion).all() and occlusion.min() == 1
    np.testing.assert_array_equal(
        ambient_occlusion(np.full((4, 4), np.inf), 0.01), np.ones((4, 4))
    )


# -- shading


@pytest.fixture
def surface():
    """A thousand points of all labels with random normals."""
    generator = np.random.default_rng(0)
    unit = lambda v: v / np.linalg.norm(v, axis=1, keepdims=True)
    count = 1000
    return {
        "colour": generator.uniform(0, 1, (count, 3)),
        "gloss": generator.uniform(0, 0.3, count),
        "label": generator.integers(1, 10, count),
        "normal": unit(generator.standard_normal((count, 3))),
        "towards_viewer": unit(generator.standard_normal((count, 3))),
        "visibility": generator.uniform(0, 1, count),
        "occlusion": generator.uniform(0.25, 1, count),
    }


def test_light_adds_up_colour_by_colour(surface):
    """Radiance is linear in the key light, the sky and the ground together."""
    base = studio_light()
    black = np.zeros(3)
    key = dataclasses.replace(
        base, key=np.array([1.0, 0.5, 0.2]), sky=black, ground=black
    )
    sky = dataclasses.replace(
        base, key=black, sky=np.array([0.3, 0.4, 0.6]), ground=black
    )
    floor = dataclasses.replace(
        base, key=black, sky=black, ground=np.array([0.3, 0.2, 0])
    )
    both = Light(base.direction, 2 * key.key, 3 * sky.sky, 4 * floor.ground, 0.01)
    expected = (
        2 * shade(key, **surface)
        + 3 * shade(sky, **surface)
        + 4 * shade(floor, **surface)
    )
    np.testing.assert_allclose(shade(both, **surface), expected, atol=1e-12)
    found = shade(floor, **surface)
    assert (found >= 0).all() and not found[:, 2].any(), "no blue light, no blue"


def test_shading_is_finite_and_not_negative(surface):
    for number in range(20):
        light = sample_light(np.random.default_rng(number))
        found = shade(light, **surface)
        assert np.isfinite(found).all() and found.min() >= 0
        assert found.max() < 5


def test_matte_cloth_follows_the_cosine_of_the_key_light():
    light = dataclasses.replace(studio_light(), sky=np.zeros(3), ground=np.zeros(3))
    side = np.cross(light.direction, [0, 1.0, 0])
    side /= np.linalg.norm(side)
    angle = np.linspace(0, np.pi, 40)[:, None]
    normal = np.cos(angle) * light.direction + np.sin(angle) * side
    count = len(normal)
    found = shade(
        light,
        np.full((count, 3), 0.5),
        np.zeros(count),
        np.full(count, LABEL["top"]),
        normal,
        light.direction,
        np.ones(count),
        np.ones(count),
    )
    expected = 0.5**2.2 * np.clip(np.cos(angle), 0, 1) * light.key
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_sky_lights_from_above_and_ground_from_below():
    """In shadow, seen along the normal, so that only the surroundings give light."""
    light = studio_light()
    light = dataclasses.replace(
        light, sky=np.array([0, 0, 1.0]), ground=np.array([1.0, 0, 0])
    )
    normal = np.array([[0, 1.0, 0], [0, -1, 0], [0, 0, 1]])
    found = shade(
        light, np.ones((3, 3)), np.zeros(3), np.full(3, LABEL["top"]), normal, normal,
        np.zeros(3), np.ones(3),
    )  # fmt: skip
    np.testing.assert_allclose(found, [[0, 0, 1], [1, 0, 0], [0.5, 0, 0.5]])


def test_shadows_take_the_key_light_alone(surface):
    light = studio_light()
    shadowed = shade(light, **(surface | {"visibility": np.zeros(1000)}))
    dark = dataclasses.replace(light, key=np.zeros(3))
    np.testing.assert_allclose(shadowed, shade(dark, **surface), atol=1e-12)
    lit = shade(light, **(surface | {"visibility": np.ones(1000)}))
    assert (lit >= shadowed - 1e-12).all()


def test_skin_lets_red_light_past_the_terminator():
    light = dataclasses.replace(studio_light(), sky=np.zeros(3), ground=np.zeros(3))
    side = np.cross(light.direction, [0, 1.0, 0])
    normal = side[None] / np.linalg.norm(side)
    arguments = (
        np.full((1, 3), 0.6), np.zeros(1), None, normal, normal, np.ones(1), np.ones(1)
    )  # fmt: skip
    found = {
        name: shade(light, *arguments[:2], np.array([LABEL[name]]), *arguments[3:])[0]
        for name in ("skin", "top")
    }
    np.testing.assert_allclose(found["top"], 0, atol=1e-9)
    assert found["skin"][0] > 2 * found["skin"][1] > 0


def test_drawn_lights_come_from_above_and_are_never_dark():
    directions = []
    for number in range(60):
        light = sample_light(np.random.default_rng(number))
        assert np.linalg.norm(light.direction) == pytest.approx(1)
        assert light.direction[1] > 0.2
        for colour in (light.key, light.sky, light.ground):
            assert colour.shape == (3,) and (colour > 0.05).all()
            assert (colour < 2).all() and np.ptp(colour) / colour.mean() < 0.7
        assert 0 < light.softness < 0.05
        directions.append(light.direction)
    directions = np.array(directions)
    assert (directions[:, 2] > 0).mean() > 0.6, "mostly from the front"
    assert (directions[:, 2] < 0).any() and np.ptp(directions[:, 0]) > 1.2
    again = sample_light(np.random.default_rng(59))
    np.testing.assert_array_equal(again.direction, directions[59])
