"""Drawing recipes: reproducible, varied, and within the ranges that bodies have."""

import dataclasses

import numpy as np
import pytest

from volhuman.people.recipe import Hanging, Lower, Pattern, Upper
from volhuman.people.surface import fine_body
from volhuman.people.textures import PATTERNS
from volhuman.people.wardrobe import sample_recipe

CROTCH, KNEE, SOLE, WRIST = -0.08, -0.41, -0.91, 0.68


@pytest.fixture(scope="module")
def recipes():
    return [sample_recipe(seed) for seed in range(600)]


def values_of(recipe, kind):
    """All values of a type inside a recipe."""
    found = [recipe] if isinstance(recipe, kind) else []
    if dataclasses.is_dataclass(recipe):
        parts = [getattr(recipe, f.name) for f in dataclasses.fields(recipe)]
    else:
        parts = recipe if isinstance(recipe, tuple) else ()
    for part in parts:
        found += values_of(part, kind)
    return found


def uppers(recipes):
    return [garment for recipe in recipes for garment in recipe.uppers]


def test_a_seed_names_a_person(recipes):
    assert sample_recipe(17) == recipes[17] and recipes[17].seed == 17
    assert len(set(recipes)) == len(recipes)
    with pytest.raises(ValueError, match="negative"):
        sample_recipe(-1)


def test_every_kind_of_garment_is_worn(recipes):
    assert {garment.kind for garment in uppers(recipes)} == {
        "tank", "tee", "long", "shirt", "sweater", "hoodie", "jacket", "blazer", "coat"
    }  # fmt: skip
    assert {garment.neckline for garment in uppers(recipes)} == {
        "crew", "v", "scoop", "turtle", "collar"
    }  # fmt: skip
    assert {lower.kind for lower in values_of(tuple(recipes), Lower)} == {
        "jeans", "chinos", "wide", "sweats", "leggings", "shorts"
    }  # fmt: skip
    assert {hanging.label for hanging in values_of(tuple(recipes), Hanging)} == {
        "skirt", "outerwear", "top"
    }  # fmt: skip
    footwear = [recipe.footwear for recipe in recipes]
    assert {shoes.kind for shoes in footwear} == {"sneaker", "boot", "flat", "bare"}
    assert {garment.motif for garment in uppers(recipes)} == {0, 1, 2, 3}


def test_every_head_and_every_accessory_occurs(recipes):
    assert {recipe.hair.style for recipe in recipes} == {
        "bald", "buzz", "short", "swept", "curly", "bob", "long", "ponytail", "bun"
    }  # fmt: skip
    assert {recipe.hair.beard for recipe in recipes} == {0, 1, 2}
    for owned in (
        [recipe.hat for recipe in recipes],
        [recipe.glasses for recipe in recipes],
        [recipe.footwear.tights for recipe in recipes],
        [lower.belt for lower in values_of(tuple(recipes), Lower)],
    ):
        share = np.mean([thing is not None for thing in owned])
        assert 0.02 < share < 0.6


def test_every_pattern_is_woven(recipes):
    patterns = values_of(tuple(recipes), Pattern)
    assert {pattern.kind for pattern in patterns} == set(PATTERNS)
    for pattern in patterns:
        assert 5 < pattern.frequency < 60 and 0 < pattern.duty < 1
        assert len(pattern.colours) == 3


def test_colours_lie_within_the_cube(recipes):
    triples = [
        value
        for recipe in recipes
        for value in values_of(recipe, tuple)
        if len(value) == 3 and all(isinstance(number, float) for number in value)
    ]
    assert len(triples) > 10 * len(recipes)
    assert np.min(triples) > 0 and np.max(triples) < 1
    skin = np.array([recipe.skin for recipe in recipes])
    assert (skin[:, 0] > skin[:, 2]).all(), "skin is red rather than blue"
    assert skin.mean(1).min() < 0.2 and skin.mean(1).max() > 0.75


def test_shapes_stay_near_the_population_and_separate_the_sexes(recipes):
    shape = np.array([recipe.shape for recipe in recipes])
    feminine = np.array([recipe.feminine for recipe in recipes])
    assert shape.shape == (600, 10) and np.abs(shape).max() < 3.5
    assert 0.4 < feminine.mean() < 0.6
    gap = shape[feminine].mean(0) - shape[~feminine].mean(0)
    assert gap[0] < -1 and gap[1] > 1 and np.abs(gap[2:]).max() < 0.35
    assert (shape[:, 2:].std(0) > 0.7).all()


def test_no_drawn_shape_turns_its_skin_inside_out(recipes):
    body = fine_body()

    def directions(vertices):
        a, b, c = (vertices[body.faces[:, k]] for k in range(3))
        return np.cross(b - a, c - a)

    usual, turned = directions(body.rest), {}
    # The first two components deform most; the farthest of them are looked at.
    far = sorted(recipes, key=lambda r: -np.hypot(*r.shape[:2]))[:40]
    for recipe in far:
        skin = body.rest + body.shape_dirs @ np.array(recipe.shape)
        turned[recipe.seed] = ((directions(skin) * usual).sum(1) < 0).sum()
    worst = max(turned, key=turned.get)
    assert turned[worst] < 0.001 * len(body.faces), f"seed {worst}"


def test_upper_garments_end_where_arms_and_legs_do(recipes):
    for garment in uppers(recipes):
        assert isinstance(garment, Upper)
        assert 0.15 < garment.sleeve < WRIST
        assert SOLE < garment.hem < 0.1, garment
        assert garment.is_outer or garment.hem > CROTCH - 0.1
        assert 0 < garment.offset < 0.04 and 0 <= garment.slack < 0.05
        assert garment.is_outer == (garment.kind in ("jacket", "blazer", "coat"))
        assert 0 <= garment.opening < 0.1
        assert garment.opening == 0 or garment.is_outer
    length = {
        kind: np.mean([g.sleeve for g in uppers(recipes) if g.kind == kind])
        for kind in ("tank", "tee", "long")
    }
    assert length["tank"] < length["tee"] < length["long"]


def test_the_outer_garment_comes_last_and_covers_the_inner_one(recipes):
    for recipe in recipes:
        assert 1 <= len(recipe.uppers) <= 2
        assert not recipe.uppers[0].is_outer
        for outer in recipe.uppers[1:]:
            assert outer.is_outer and outer.offset > recipe.uppers[0].offset


def test_trousers_end_below_the_waist(recipes):
    for lower in values_of(tuple(recipes), Lower):
        assert SOLE < lower.hem < CROTCH < lower.waist < 0.12
        if lower.kind == "shorts":
            assert lower.hem > KNEE - 0.06
        assert lower.belt is None or lower.kind in ("jeans", "chinos")
        if lower.kind == "leggings":
            assert lower.flare == lower.slack == 0


def test_who_wears_no_trousers_wears_a_skirt_and_nobody_both(recipes):
    for recipe in recipes:
        skirts = [h for h in recipe.hangings if h.label == "skirt"]
        assert len(skirts) == (recipe.lower is None)
        assert not skirts or recipe.feminine
        assert recipe.footwear.tights is None or skirts


def test_fabric_hangs_from_hems_below_the_hip_bones(recipes):
    for recipe in recipes:
        for hanging in recipe.hangings:
            assert 0.1 < hanging.top < 0.15 and hanging.length > 0.08
            assert hanging.top - hanging.length > SOLE + 0.02, "it drags on the floor"
            assert 0 <= hanging.flare < 0.7 and hanging.clearance > 0
            assert hanging.pleats >= 4 and 0 <= hanging.pleat_depth < 0.04
        for garment, label in zip(recipe.uppers, ("top", "outerwear")):
            tails = [h for h in recipe.hangings if h.label == label]
            free = garment.hem < garment.body_hem
            under = any(outer.hem <= garment.hem for outer in recipe.uppers[1:])
            hidden = label == "top" and (recipe.lower is None or under)
            assert len(tails) == (free and not hidden)
            for tail in tails:
                assert tail.top - tail.length == pytest.approx(garment.hem)
                assert tail.pattern == garment.pattern


def test_tails_do_not_hide_a_dress_and_its_skirt_shares_the_fabric(recipes):
    dresses = [
        recipe
        for recipe in recipes
        if recipe.lower is None
        and recipe.hangings[0].pattern == recipe.uppers[0].pattern
    ]
    assert dresses
    for recipe in dresses:
        assert recipe.uppers[0].hem < recipe.hangings[0].top


def test_caps_sit_on_short_hair_alone_and_beards_on_men(recipes):
    for recipe in recipes:
        assert recipe.hat is None or recipe.hair.style in ("short", "buzz")
        assert not (recipe.feminine and recipe.hair.beard)


def test_socks_end_below_the_knee_and_bare_feet_have_none(recipes):
    for recipe in recipes:
        shoes = recipe.footwear
        assert shoes.top < -0.55 and shoes.sock_top < -0.6
        if shoes.kind in ("bare", "flat"):
            assert shoes.sock_top < SOLE
