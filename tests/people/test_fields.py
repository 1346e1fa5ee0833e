"""Fields of garments: which places they cover, their order, no jumps on the body."""

import dataclasses

import numpy as np
import pytest

from volhuman.people import fields
from volhuman.people.surface import fine_body
from volhuman.people.wardrobe import sample_recipe

PLACES = {
    "chest": (0.03, 0.33, 0.13),
    "back": (0.0, 0.33, -0.11),
    "belly": (0.0, 0.14, 0.12),
    "throat": (0.0, 0.545, 0.05),
    "face": (0.0, 0.65, 0.12),
    "crown": (0.0, 0.78, -0.02),
    "ear": (0.073, 0.672, 0.015),
    "upper arm": (0.25, 0.47, 0.0),
    "forearm": (0.55, 0.47, 0.0),
    "hand": (0.75, 0.46, 0.02),
    "thigh": (0.1, -0.2, 0.07),
    "shin": (0.12, -0.6, 0.05),
    "toes": (0.15, -0.89, 0.14),
}


@pytest.fixture(scope="module")
def recipe():
    return sample_recipe(0)


@pytest.fixture
def garment(recipe):
    """A plain sweater: long sleeves, crew neck, closed."""
    return dataclasses.replace(
        recipe.uppers[0], sleeve=0.65, hem=0.05, neckline="crew", opening=0.0
    )


def covered(field):
    """Names of the places inside a field."""
    inside = field(np.array(list(PLACES.values()))) > 0
    return {name for name, one in zip(PLACES, inside) if one}


def test_the_places_lie_on_the_body():
    """The names above mean what they say."""
    rest = fine_body().rest
    for name, place in PLACES.items():
        assert np.linalg.norm(rest - place, axis=1).min() < 0.06, name


def test_a_sweater_covers_trunk_and_arms(garment):
    trunk = {"chest", "back", "belly", "upper arm", "forearm"}
    assert covered(lambda rest: fields.upper(rest, garment)) == trunk
    short = dataclasses.replace(garment, sleeve=0.3)
    assert covered(lambda rest: fields.upper(rest, short)) == trunk - {"forearm"}
    cropped = dataclasses.replace(garment, hem=0.2)
    assert covered(lambda rest: fields.upper(rest, cropped)) == trunk - {"belly"}


def test_trousers_cover_what_lies_between_waist_and_hem(recipe):
    lower = dataclasses.replace(recipe.lower, waist=0.1, hem=-0.8)
    assert covered(lambda rest: fields.lower(rest, lower)) == {"thigh", "shin"}
    shorts = dataclasses.replace(lower, hem=-0.3)
    assert covered(lambda rest: fields.lower(rest, shorts)) == {"thigh"}
    assert covered(fields.under_skirt) == set()


def test_hands_of_lowered_arms_are_not_mistaken_for_legs(recipe):
    """Fields see the T-pose only; the arms there are beyond |x| = 0.3."""
    arms = fine_body().rest[np.abs(fine_body().rest[:, 0]) > 0.3]
    assert (fields.lower(arms, recipe.lower) < 0).all()
    assert (fields.shoe(arms, recipe.footwear) < 0).all()
    assert (fields.under_skirt(arms) < 0).all()


@pytest.mark.parametrize("kind", ["sneaker", "boot", "flat"])
def test_shoes_cover_the_toes_and_a_boot_the_ankle(recipe, kind):
    top = {"boot": -0.65}.get(kind, -0.845)
    shoes = dataclasses.replace(recipe.footwear, kind=kind, top=top)
    assert covered(lambda rest: fields.shoe(rest, shoes)) == {"toes"}
    ankle = np.array([[0.14, -0.82, -0.02]])
    assert (fields.shoe(ankle, shoes) > 0) == (kind == "boot")


def test_bare_feet_have_no_shoes(recipe):
    bare = dataclasses.replace(recipe.footwear, kind="bare", top=-0.8)
    assert (fields.shoe(fine_body().rest, bare) < 0).all()


@pytest.mark.parametrize(
    "style", ["buzz", "short", "swept", "curly", "bob", "long", "ponytail", "bun"]
)
def test_hair_grows_on_the_crown_and_not_in_the_face(recipe, style):
    hair = dataclasses.replace(recipe.hair, style=style)
    field = fields.scalp(np.array(list(PLACES.values())), hair)
    assert set(np.array(list(PLACES))[field > 0]) - {"ear"} == {"crown"}
    rest = fine_body().rest
    scalp = rest[fields.scalp(rest, hair) > 0]
    assert scalp[:, 1].min() > 0.56 and np.abs(scalp[:, 0]).max() < 0.1
    eyes = np.array([[0.03, 0.682, 0.11], [-0.03, 0.682, 0.11], [0, 0.608, 0.12]])
    assert (fields.scalp(eyes, hair) < 0).all()


def test_necklines_are_ordered_from_deep_to_high():
    front = np.array([[0.0, 0.5, 0.08]])
    depth = {
        kind: float(fields.neckline(front, kind)[0])
        for kind in ("v", "scoop", "collar", "crew", "turtle")
    }
    assert list(depth.values()) == sorted(depth.values()), "how much lies above"
    back = np.array([[0.0, 0.5, -0.08]])
    for kind in depth:
        assert fields.neckline(back, kind) > 0, "all cover the nape"


def test_fields_measure_about_metres(garment, recipe):
    """A step of a millimetre changes them by a few millimetres at most."""
    rest = fine_body().rest
    step = np.random.default_rng(0).standard_normal(rest.shape)
    step *= 1e-3 / np.linalg.norm(step, axis=1, keepdims=True)
    for kind in ("crew", "v", "scoop", "turtle", "collar"):
        sewn = dataclasses.replace(garment, neckline=kind)
        change = fields.upper(rest + step, sewn) - fields.upper(rest, sewn)
        near = np.abs(fields.upper(rest, sewn)) < 0.02
        assert np.abs(change[near]).max() < 6e-3, kind
    change = fields.lower(rest + step, recipe.lower) - fields.lower(rest, recipe.lower)
    near = np.abs(fields.lower(rest, recipe.lower)) < 0.02
    assert np.abs(change[near]).max() < 1.01e-3


def test_an_open_front_parts_in_front_alone_and_wider_above(garment):
    opened = dataclasses.replace(garment, opening=0.03, is_outer=True)
    low, high = np.array([[0.0, 0.1, 0.1]]), np.array([[0.0, 0.4, 0.1]])
    assert fields.opening(low, opened) == pytest.approx(0.03)
    assert fields.opening(high, opened) > 0.05
    places = np.array(
        [[0, 0.1, 0.1], [0.04, 0.1, 0.1], [0.04, 0.4, 0.1], [0, 0.1, -0.1]]
    )
    inside = fields.upper(places, opened) > 0
    assert inside.tolist() == [False, True, False, True]
    assert (fields.upper(places, garment) > 0).all()


def test_arms_are_told_from_the_trunk():
    names = list(PLACES)
    arm = fields.arm(np.array(list(PLACES.values())))
    for name, value in zip(names, arm):
        expected = name in ("upper arm", "forearm", "hand")
        assert value == expected, name
    x = np.linspace(0.18, 0.24, 50)
    along = fields.arm(np.stack([x, 0 * x + 0.45, 0 * x], axis=1))
    assert (np.diff(along) >= 0).all() and np.diff(along).max() < 0.1
