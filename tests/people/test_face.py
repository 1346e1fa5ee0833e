"""Skin and face: features where the face has them, symmetric, and only when asked."""

import dataclasses

import numpy as np
import pytest

from volhuman.people.face import paint_skin
from volhuman.people.surface import fine_body
from volhuman.people.wardrobe import sample_recipe

PLACES = {
    "forehead": (0.0, 0.735),
    "cheek": (0.045, 0.645),
    "lips": (0.0, 0.602),
    "mouth gap": (0.0, 0.6095),
    "pupil": (0.029, 0.6815),
    "white": (0.0385, 0.6815),
    "brow": (0.03, 0.7035),
    "chin": (0.0, 0.575),
    "jaw": (0.03, 0.585),
    "rim": (0.031, 0.681 - 0.0195),
}


@pytest.fixture(scope="module")
def surface():
    """Height of the front of the face over x and y."""
    rest = fine_body().rest
    front = rest[(rest[:, 1] > 0.55) & (rest[:, 2] > 0.03)]

    def at(x, y):
        distance = np.hypot(front[:, 0] - x, front[:, 1] - y)
        return np.array([x, y, front[distance.argmin(), 2]])

    return at


@pytest.fixture(scope="module")
def person():
    recipe = sample_recipe(0)
    return dataclasses.replace(
        recipe,
        skin=(0.8, 0.6, 0.5),
        feminine=False,
        glasses=None,
        hair=dataclasses.replace(recipe.hair, beard=0, colour=(0.1, 0.08, 0.06)),
    )


@pytest.fixture(scope="module")
def colour_of(surface):
    def paint(recipe, name, side=1):
        x, y = PLACES[name]
        return paint_skin(recipe, surface(side * x, y)[None])[0]

    return paint


def test_skin_is_finite_and_has_its_tone(person):
    rest = fine_body().rest
    colour = paint_skin(person, rest)
    assert colour.shape == rest.shape
    assert np.isfinite(colour).all() and colour.min() >= 0 and colour.max() <= 1
    trunk = (np.abs(rest[:, 0]) < 0.2) & (rest[:, 1] < 0.5)
    np.testing.assert_allclose(np.median(colour[trunk], axis=0), person.skin, rtol=0.03)
    assert np.abs(colour[trunk] / person.skin - 1).max() < 0.1, "mottled a little"


def test_each_point_is_painted_by_itself(person):
    rest = fine_body().rest
    order = np.random.default_rng(0).permutation(len(rest))
    colour = paint_skin(person, rest)
    np.testing.assert_array_equal(paint_skin(person, rest[order]), colour[order])
    assert paint_skin(person, rest[:0]).shape == (0, 3)


def test_features_are_where_the_face_has_them(person, colour_of):
    red = lambda colour: colour[0] / colour.mean()
    forehead, cheek = colour_of(person, "forehead"), colour_of(person, "cheek")
    assert red(colour_of(person, "lips")) > 1.03 * red(forehead)
    assert (
        colour_of(person, "mouth gap").mean() < 0.75 * colour_of(person, "lips").mean()
    )
    assert colour_of(person, "pupil").mean() < 0.5 * cheek.mean()
    assert np.ptp(colour_of(person, "white")) < 0.5 * np.ptp(cheek), "nearly grey"
    assert colour_of(person, "brow").mean() < 0.5 * forehead.mean()
    assert red(cheek) > red(forehead)


@pytest.mark.parametrize("name", ["cheek", "pupil", "white", "brow", "jaw"])
def test_the_face_is_symmetric_but_for_mottling(person, colour_of, name):
    left, right = (colour_of(person, name, side) for side in (1, -1))
    np.testing.assert_allclose(left, right, atol=0.06)


def test_the_back_of_the_head_has_no_face(person):
    rest = fine_body().rest
    behind = rest[(rest[:, 1] > 0.56) & (rest[:, 2] < 0.0)]
    colour = paint_skin(person, behind)
    assert np.abs(colour / person.skin - 1).max() < 0.1


def test_beards_cover_chin_and_jaw_and_stubble_less(person, colour_of):
    grow = lambda beard: dataclasses.replace(
        person, hair=dataclasses.replace(person.hair, beard=beard)
    )
    for name in ("chin", "jaw"):
        light = [colour_of(grow(beard), name).mean() for beard in (0, 1, 2)]
        assert light[0] > 1.1 * light[1] > 1.2 * light[2]
    for name in ("forehead", "pupil", "lips"):
        np.testing.assert_allclose(
            colour_of(grow(2), name), colour_of(person, name), atol=0.02
        )


def test_glasses_have_rims_of_their_colour_around_the_eyes(person, colour_of):
    worn = dataclasses.replace(person, glasses=(0.1, 0.2, 0.9))
    np.testing.assert_allclose(colour_of(worn, "rim"), (0.1, 0.2, 0.9), atol=0.05)
    for name in ("pupil", "forehead", "lips"):
        np.testing.assert_array_equal(colour_of(worn, name), colour_of(person, name))


def test_women_have_fuller_colour_on_lips_and_lids(person, colour_of):
    woman = dataclasses.replace(person, feminine=True)
    red = lambda colour: colour[0] / colour.mean()
    assert red(colour_of(woman, "lips")) > red(colour_of(person, "lips"))


def test_eyes_of_dark_and_light_people_differ_in_colour(person, colour_of):
    seeds = [dataclasses.replace(person, seed=seed) for seed in range(4)]
    light = {tuple(colour_of(one, "pupil").round(3)) for one in seeds}
    dark = {
        tuple(
            colour_of(dataclasses.replace(one, skin=(0.3, 0.2, 0.15)), "pupil").round(3)
        )
        for one in seeds
    }
    assert len(light) == 4 and len(dark) == 2
