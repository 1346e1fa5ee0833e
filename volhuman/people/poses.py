"""Poses in which a dressed person does not pass through itself."""

import functools

import numpy as np
from scipy.spatial import cKDTree

from volhuman.body.pose_sampler import posed_frames, sample_pose
from volhuman.body.skeleton import JOINT_INDEX
from volhuman.people.drape import NUM_MERIDIANS
from volhuman.people.person import Person, PosedPerson, pose_person
from volhuman.people.surface import fine_body

# Touching presses cloth and flesh by this much without being seen, metres.
TOLERANCE = 0.008
_ATTEMPTS = 12
# Fabric of this length hangs over the knees of who raises them, metres.
_LONG = 0.3
# From the joint to the front of the knee, metres.
_KNEE = 0.08


def sample_posed_person(
    generator: np.random.Generator,
    person: Person,
    *,
    kind: str | None = None,
    turn: float = 0.0,
) -> PosedPerson:
    """Draws a pose of a person, clothes considered.

    Poses come from `body.pose_sampler`; those in which a hand, a forearm or a leg
    enters the dressed person, or a knee rises above a skirt's waist, are first tried
    with the arms opened, then drawn again.

    Args:
        generator: Source of randomness.
        person: The person.
        kind: Kind of pose, one of `body.pose_sampler.KINDS`, drawn where None.
        turn: Turn of the whole person about the vertical, radians.

    Returns:
        The posed person.

    Raises:
        InputError: If the kind is unknown.
    """
    best = None
    for _ in range(_ATTEMPTS):
        pose = sample_pose(generator, person.surface.joints, kind)
        pose[0, 1] = turn
        for opened in (0.0, 0.35):
            posed = pose_person(person, _open_arms(pose, opened))
            depth = max(intersection_depth(posed), _knee_through_skirt(posed))
            if best is None or depth < best[0]:
                best = depth, posed
            if depth <= TOLERANCE:
                return posed
    return best[1]


def intersection_depth(posed: PosedPerson) -> float:
    """How deep a forearm or a leg lies inside another part of the person, metres.

    Forearms and hands are tested against everything but their own arm and the hair,
    legs against each other. 0 where nothing intersects.
    """
    body = posed.parts[0].vertices
    normals = posed.parts[0].normals
    hanging = [part for part in posed.parts if part.name not in ("body", "hair")]
    depth = 0.0
    regions = _regions()
    for side, other in (("left", "right"), ("right", "left")):
        forearm = body[regions[f"{side}_forearm"]]
        solid = np.concatenate([regions["trunk"], regions[f"{other}_arm"]])
        depth = max(depth, _depth(forearm, body[solid], normals[solid]))
        for part in hanging:
            # The lids close the fabric inside the body; only its outside can be hit.
            outside = slice(0, len(part.vertices) - NUM_MERIDIANS - 2)
            surface = part.vertices[outside], part.normals[outside]
            depth = max(depth, _depth(forearm, *surface))
    left, right = regions["left_leg"], regions["right_leg"]
    return max(depth, _depth(body[left], body[right], normals[right]))


def _knee_through_skirt(posed: PosedPerson) -> float:
    """How far a knee rises above where a skirt or coat can still cover it, metres."""
    tops = [h.top for h in posed.person.recipe.hangings if h.length > _LONG]
    if not tops:
        return 0.0
    joints, rotations = posed_frames(posed.pose, posed.person.surface.joints)
    knees = [JOINT_INDEX[f"{side}_knee"] for side in ("left", "right")]
    height = ((joints[knees] - joints[0]) @ rotations[0])[:, 1].max()
    return max(0.0, float(height) + _KNEE - min(tops))


def _depth(points, surface, normals):
    """Greatest depth of points under a surface given by vertices and normals."""
    low, high = surface.min(0), surface.max(0)
    near = ((points > low) & (points < high)).all(1)
    if not near.any():
        return 0.0
    points = points[near]
    distance, nearest = cKDTree(surface).query(points, distance_upper_bound=0.12)
    found = np.isfinite(distance)
    nearest = nearest[found]
    inside = -((points[found] - surface[nearest]) * normals[nearest]).sum(1)
    return float(inside.max(initial=0.0))


@functools.cache
def _regions() -> dict[str, np.ndarray]:
    """Vertices of the regions that are tested, thinned where they are dense."""
    x, y, _ = fine_body().rest.T
    regions = {"trunk": (np.abs(x) < 0.17)}
    for side, sign in (("left", 1), ("right", -1)):
        regions[f"{side}_forearm"] = sign * x > 0.45
        regions[f"{side}_arm"] = sign * x > 0.25
        regions[f"{side}_leg"] = (sign * x > 0.02) & (y < -0.16)
    return {name: np.nonzero(inside)[0][::2] for name, inside in regions.items()}


def _open_arms(pose, amount):
    """Moves both arms towards the T-pose by a share of the way."""
    pose = pose.copy()
    for side in ("left", "right"):
        for joint in ("shoulder", "elbow"):
            pose[JOINT_INDEX[f"{side}_{joint}"]] *= 1 - amount
    return pose
