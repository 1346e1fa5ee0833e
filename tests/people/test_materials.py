"""Materials: labels and colours of every place, the same for equal recipes."""

import dataclasses

import numpy as np
import pytest

from volhuman.people import recipe as recipes
from volhuman.people.materials import label_at, material_at
from volhuman.people.recipe import LABEL, LABELS
from volhuman.people.surface import fine_body
from volhuman.people.wardrobe import sample_recipe

SEEDS = (0, 1, 4, 6, 12, 43, 49)


@pytest.fixture(scope="module")
def rest():
    """The body's vertices, and points around it where hanging fabric can be."""
    generator = np.random.default_rng(0)
    body = fine_body().rest
    return np.concatenate(
        [body[::5], body[::9] + 0.03 * generator.standard_normal((3062, 3))]
    )


def parts(recipe):
    yield "body", 0
    yield "hair", 0
    for number, hanging in enumerate(recipe.hangings):
        yield hanging.label, number


@pytest.mark.parametrize("seed", SEEDS)
def test_labels_alone_are_those_of_the_materials(rest, seed):
    recipe = sample_recipe(seed)
    for part, number in parts(recipe):
        material = material_at(recipe, part, number, rest)
        label = label_at(recipe, part, number, rest)
        np.testing.assert_array_equal(label, material.label)
        assert label.shape == (len(rest),) and label.min() >= 1
        assert label.max() < len(LABELS)


@pytest.mark.parametrize("seed", SEEDS)
def test_colours_are_finite_and_do_not_depend_on_the_batch(rest, seed):
    recipe = sample_recipe(seed)
    order = np.random.default_rng(1).permutation(len(rest))
    for part, number in parts(recipe):
        material = material_at(recipe, part, number, rest)
        assert material.colour.shape == (len(rest), 3)
        assert np.isfinite(material.colour).all()
        assert material.colour.min() >= 0 and material.colour.max() <= 1
        assert material.gloss.shape == (len(rest),)
        assert material.gloss.min() >= 0 and material.gloss.max() < 0.5
        mixed = material_at(recipe, part, number, rest[order])
        half = material_at(recipe, part, number, rest[:100])
        for name in ("colour", "gloss", "label"):
            value = getattr(material, name)
            np.testing.assert_array_equal(getattr(mixed, name), value[order])
            np.testing.assert_array_equal(getattr(half, name), value[:100])


def test_no_points_have_no_material():
    recipe = sample_recipe(0)
    for part, number in parts(recipe):
        material = material_at(recipe, part, number, np.zeros((0, 3)))
        assert material.colour.shape == (0, 3)
        assert material.gloss.shape == material.label.shape == (0,)


PLACES = {
    "chest": (0.1, 0.3, 0.12),
    "breastbone": (0.0, 0.3, 0.12),
    "face": (0.05, 0.65, 0.1),
    "crown": (0.0, 0.78, -0.02),
    "hand": (0.75, 0.46, 0.02),
    "forearm": (0.55, 0.47, 0.0),
    "waist": (0.1, 0.075, 0.1),
    "thigh": (0.1, -0.2, 0.07),
    "shin": (0.12, -0.6, 0.05),
    "ankle": (0.14, -0.77, -0.03),
    "toes": (0.15, -0.89, 0.14),
}


def labels(recipe):
    """Garment of each place on the body."""
    found = label_at(recipe, "body", 0, np.array(list(PLACES.values())))
    return {name: LABELS[number] for name, number in zip(PLACES, found)}


@pytest.fixture
def dressed():
    """Long-sleeved shirt, jeans without a belt, sneakers with socks, short hair."""
    recipe = sample_recipe(0)
    shirt = dataclasses.replace(
        recipe.uppers[0], sleeve=0.65, hem=0.09, neckline="crew", is_outer=False
    )
    jeans = dataclasses.replace(recipe.lower, waist=0.1, hem=-0.74, belt=None)
    shoes = dataclasses.replace(
        recipe.footwear, kind="sneaker", top=-0.842, sock_top=-0.75, tights=None
    )
    hair = dataclasses.replace(recipe.hair, style="short")
    return dataclasses.replace(
        recipe, uppers=(shirt,), lower=jeans, footwear=shoes, hair=hair, hangings=(),
        hat=None,
    )  # fmt: skip


def test_every_place_wears_what_lies_on_top(dressed):
    assert labels(dressed) == {
        "chest": "top", "breastbone": "top", "face": "skin", "crown": "hair",
        "hand": "skin", "forearm": "top", "waist": "trousers", "thigh": "trousers",
        "shin": "trousers", "ankle": "socks", "toes": "footwear",
    }  # fmt: skip


def test_an_open_jacket_shows_the_shirt_between_its_fronts(dressed):
    jacket = dataclasses.replace(
        dressed.uppers[0],
        kind="jacket",
        opening=0.03,
        neckline="collar",
        is_outer=True,
        hem=0.05,
    )
    worn = labels(dataclasses.replace(dressed, uppers=(*dressed.uppers, jacket)))
    assert worn["chest"] == worn["forearm"] == "outerwear"
    assert worn["breastbone"] == "top"
    closed = dataclasses.replace(jacket, opening=0.0)
    worn = labels(dataclasses.replace(dressed, uppers=(*dressed.uppers, closed)))
    assert worn["breastbone"] == "outerwear"


def test_shorts_sandals_and_bald_heads_show_skin(dressed):
    bare = dataclasses.replace(
        dressed,
        lower=dataclasses.replace(dressed.lower, kind="shorts", hem=-0.3),
        footwear=dataclasses.replace(dressed.footwear, kind="bare", sock_top=-1.0),
        hair=dataclasses.replace(dressed.hair, style="bald"),
        uppers=(dataclasses.replace(dressed.uppers[0], sleeve=0.3),),
    )
    worn = labels(bare)
    assert {name for name, label in worn.items() if label == "skin"} == {
        "face", "crown", "hand", "forearm", "shin", "ankle", "toes"
    }  # fmt: skip


def test_belts_caps_and_tights_are_worn_over(dressed):
    belted = dataclasses.replace(dressed.lower, belt=(0.2, 0.1, 0.05))
    worn = labels(dataclasses.replace(dressed, lower=belted, hat=(0.1, 0.3, 0.1)))
    assert worn["waist"] == "accessory" and worn["crown"] == "accessory"
    skirt = sample_recipe(4)
    assert skirt.lower is None
    tights = dataclasses.replace(
        skirt, footwear=dataclasses.replace(dressed.footwear, tights=(0.1, 0.1, 0.1))
    )
    worn = labels(tights)
    assert worn["thigh"] == worn["shin"] == "socks" and worn["toes"] == "footwear"


def test_hanging_fabric_and_locks_have_one_label_each(rest):
    recipe = sample_recipe(4)
    assert (label_at(recipe, "skirt", 0, rest) == LABEL["skirt"]).all()
    assert (label_at(recipe, "hair", 0, rest) == LABEL["hair"]).all()


@pytest.mark.parametrize("kind", ["sneaker", "boot", "flat"])
def test_soles_differ_from_the_leather(dressed, kind):
    shoes = dataclasses.replace(
        dressed.footwear, kind=kind, colour=(0.6, 0.1, 0.1), sole=(0.1, 0.1, 0.6)
    )
    recipe = dataclasses.replace(dressed, footwear=shoes)
    points = np.array([[0.15, -0.905, 0.0], [0.19, -0.88, 0.0]])
    colour = material_at(recipe, "body", 0, points).colour
    np.testing.assert_allclose(colour, [(0.1, 0.1, 0.6), (0.6, 0.1, 0.1)])


def rebuilt(value):
    """The same data in new objects, as after reading it from a file."""
    if dataclasses.is_dataclass(value):
        parts = {
            f.name: rebuilt(getattr(value, f.name)) for f in dataclasses.fields(value)
        }
        return getattr(recipes, type(value).__name__)(**parts)
    return tuple(rebuilt(item) for item in value) if isinstance(value, tuple) else value


def test_equal_recipes_have_equal_colours(rest, recipe_with):
    recipe = recipe_with(
        lambda r: (
            r.uppers[0].kind == "shirt" and any(h.label == "top" for h in r.hangings)
        )
    )
    copy = rebuilt(recipe)
    assert copy == recipe
    for part, number in parts(recipe):
        np.testing.assert_array_equal(
            material_at(copy, part, number, rest).colour,
            material_at(recipe, part, number, rest).colour,
            err_msg=part,
        )


def test_details_of_the_front_go_on_where_a_shirt_hangs(recipe_with):
    """The placket of a shirt continues from the body into its tail."""
    recipe = recipe_with(
        lambda r: (
            r.uppers[0].kind == "shirt"
            and r.hangings
            and r.uppers[0].pattern.kind == "plain"
        )
    )
    line = np.array([[0.014, 0.06, 0.1], [0.03, 0.06, 0.1]])
    for part in ("body", "top"):
        on, beside = material_at(recipe, part, 0, line).colour.mean(1)
        assert on < 0.8 * beside, part
