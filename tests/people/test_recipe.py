"""Recipes as plain data: labels, JSON, and where garments stop covering the body."""

import dataclasses
import json

import pytest

from volhuman.people.recipe import LABEL, LABELS
from volhuman.people.wardrobe import sample_recipe


def test_labels_are_numbered_from_background_on():
    assert LABELS[0] == "background" and len(set(LABELS)) == len(LABELS)
    assert [LABEL[name] for name in LABELS] == list(range(len(LABELS)))


@pytest.mark.parametrize("seed", range(12))
def test_a_recipe_is_data_that_json_can_hold(seed):
    data = dataclasses.asdict(sample_recipe(seed))
    assert json.loads(json.dumps(data, allow_nan=False)) == json.loads(
        json.dumps(dataclasses.asdict(sample_recipe(seed)))
    )

    def leaves(value):
        if isinstance(value, dict):
            value = value.values()
        if not isinstance(value, str) and hasattr(value, "__iter__"):
            for item in value:
                yield from leaves(item)
        else:
            yield value

    # NumPy's scalars would write, but not read back, as what they are.
    assert {type(leaf) for leaf in leaves(data)} <= {
        str, int, float, bool, type(None)
    }  # fmt: skip


def test_recipes_are_frozen_and_hashable():
    recipe = sample_recipe(5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.seed = 6
    assert hash(recipe) == hash(sample_recipe(5))


def test_a_garment_covers_the_body_to_its_hem_or_to_the_hip_bones():
    recipe = sample_recipe(0)
    for hem in (0.08, 0.03, -0.1, -0.4):
        garment = dataclasses.replace(recipe.uppers[0], hem=hem)
        assert garment.body_hem >= hem
        assert garment.body_hem == hem or hem < 0.03 <= garment.body_hem
