"""People, poses and pictures that the tests of this folder share."""

import functools
import types

import numpy as np
import pytest

from volhuman.body.pose_sampler import sample_pose
from volhuman.body.skeleton import JOINT_INDEX
from volhuman.geometry.camera import Pinhole, WeakPerspective
from volhuman.people.cameras import look_at
from volhuman.people.lighting import studio_light
from volhuman.people.person import pose_person, sample_person
from volhuman.people.records import person_records
from volhuman.people.scenes import plain_background
from volhuman.people.views import render
from volhuman.people.wardrobe import sample_recipe

SIZE = 96


@pytest.fixture(scope="session")
def person_of():
    """The person of a seed, made once."""
    return functools.cache(sample_person)


@pytest.fixture(scope="session")
def records_of():
    """The records of a seed in a variant at a size, made once."""
    return functools.cache(
        lambda seed, variant, size: person_records(seed, variant=variant, size=size)
    )


@pytest.fixture(scope="session")
def recipe_with():
    """The first recipe that satisfies a condition."""

    def find(condition):
        for seed in range(3000):
            recipe = sample_recipe(seed)
            if condition(recipe):
                return recipe
        raise LookupError("no seed below 3000 gives such a person")

    return find


@pytest.fixture(scope="session")
def poses():
    """Named poses `(24, 3)`, axis-angle."""
    standing = np.zeros((24, 3))
    for side, sign in (("left", 1), ("right", -1)):
        standing[JOINT_INDEX[f"{side}_shoulder"], 2] = -sign * np.deg2rad(60)
    bent = standing.copy()
    bent[JOINT_INDEX["left_elbow"], 1] = -np.deg2rad(80)
    bent[JOINT_INDEX["right_elbow"], 1] = np.deg2rad(50)
    bent[JOINT_INDEX["left_hip"]] = np.deg2rad([-70, 0, 10])
    bent[JOINT_INDEX["left_knee"], 0] = np.deg2rad(85)
    bent[JOINT_INDEX["spine2"]] = np.deg2rad([10, 20, 5])
    wild = sample_pose(np.random.default_rng(3), sample_person(0).surface.joints)
    return {"rest": np.zeros((24, 3)), "standing": standing, "bent": bent, "wild": wild}


@pytest.fixture(scope="session")
def posed_of(person_of, poses):
    """The person of a seed in one of the named poses, made once."""
    return functools.cache(lambda seed, name: pose_person(person_of(seed), poses[name]))


@pytest.fixture(scope="session")
def camera_at():
    """A camera on a posed person; `focal` None for weak perspective."""

    def place(posed, *, yaw=0.4, pitch=0.1, roll=0.03, focal=3.0, reach=1.2):
        points = posed.vertices
        centre = (points.min(0) + points.max(0)) / 2
        return look_at(yaw, pitch, roll, centre=centre, reach=reach, focal=focal)

    return place


@pytest.fixture(scope="session")
def picture(posed_of, camera_at):
    """Renders a person of a seed before white: the pose, the camera and the view."""

    @functools.cache
    def draw(seed, name, *, size=SIZE, **camera):
        posed = posed_of(seed, name)
        placed = camera_at(posed, **camera)
        view = render(
            posed.person, posed, placed, studio_light(), plain_background(), size=size
        )
        return types.SimpleNamespace(posed=posed, camera=placed, view=view, size=size)

    return draw


@pytest.fixture(scope="session", params=[3.0, None], ids=["pinhole", "weak"])
def shot(request, picture):
    """One dressed, bent person, by either kind of camera."""
    drawn = picture(0, "bent", focal=request.param)
    assert isinstance(drawn.camera, Pinhole if request.param else WeakPerspective)
    return drawn
