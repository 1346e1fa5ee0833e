"""A dressed person as closed meshes on the 24 joints, and the same person in a pose."""

import dataclasses
import functools

import numpy as np
from scipy.spatial import cKDTree

from volhuman.body.pose_sampler import posed_frames
from volhuman.body.skeleton import JOINT_INDEX
from volhuman.body.template import load_template
from volhuman.checks import check_shape
from volhuman.people import fields
from volhuman.people.clothes import DressedSurface, dress
from volhuman.people.drape import NUM_MERIDIANS, close_tube, drape, tube_faces
from volhuman.people.folds import fold_displacement, hang
from volhuman.people.hair import HairMesh, grow_hair
from volhuman.people.recipe import Hanging, Recipe
from volhuman.people.surface import fine_body
from volhuman.people.wardrobe import sample_recipe
from volhuman.render.shading import vertex_normals


@dataclasses.dataclass(frozen=True)
class Person:
    """A dressed person in T-pose.

    Attributes:
        recipe: What it was made from.
        surface: Body with close-fitting clothes and shoes.
        hair: Locks, or None.
        tube_rest: Rest coordinates of each hanging garment of the recipe.
    """

    recipe: Recipe
    surface: DressedSurface
    hair: HairMesh | None
    tube_rest: tuple[np.ndarray, ...]

    @property
    def shape(self) -> np.ndarray:
        """Shape components `(10,)` of the body underneath."""
        return np.asarray(self.recipe.shape)


@dataclasses.dataclass(frozen=True)
class Part:
    """One closed mesh of a posed person.

    Attributes:
        name: "body" for the dressed surface, "hair", or the label of a hanging garment.
        number: Which hanging garment of the recipe, 0 otherwise.
        vertices: `(N, 3)` body space, metres.
        faces: `(F, 3)`, normals outwards.
        rest: `(N, 3)` rest coordinates.
        shade: `(N,)` brightness of the colour, 1 where it says nothing.
    """

    name: str
    number: int
    vertices: np.ndarray
    faces: np.ndarray
    rest: np.ndarray
    shade: np.ndarray

    @functools.cached_property
    def normals(self) -> np.ndarray:
        """`(N, 3)` unit vertex normals."""
        return vertex_normals(self.vertices, self.faces)


@dataclasses.dataclass(frozen=True)
class PosedPerson:
    """A person in a pose, in body space: y up, the root where the pose turns it.

    Attributes:
        person: Who.
        pose: `(24, 3)` axis-angle.
        parts: Closed meshes; their union is the person.
        joints: `(24, 3)` metres.
    """

    person: Person
    pose: np.ndarray
    parts: tuple[Part, ...]
    joints: np.ndarray

    @property
    def vertices(self) -> np.ndarray:
        """`(N, 3)` vertices of all parts, one after the other."""
        return np.concatenate([part.vertices for part in self.parts])

    @property
    def faces(self) -> np.ndarray:
        """`(F, 3)` faces of all parts, numbered as in `vertices`."""
        start = np.cumsum([0] + [len(part.vertices) for part in self.parts])
        return np.concatenate(
            [part.faces + first for part, first in zip(self.parts, start)]
        )

    @property
    def ground(self) -> float:
        """y of the lowest point: the floor that the person stands on."""
        return float(min(part.vertices[:, 1].min() for part in self.parts))


def sample_person(seed: int) -> Person:
    """Draws a person: body shape, clothes, hair and colours.

    Args:
        seed: Non-negative; the same seed gives the same person on every machine.

    Returns:
        The T-posed person.
    """
    return make_person(sample_recipe(seed))


def make_person(recipe: Recipe) -> Person:
    """Makes the person of a recipe."""
    body = fine_body()
    surface = dress(body, recipe)
    # Fabric is named by where it hangs on the mean body, so that its colours do not
    # depend on who wears it how.
    return Person(
        recipe=recipe,
        surface=surface,
        hair=grow_hair(body, surface.skin, recipe),
        tube_rest=tuple(
            close_tube(_drape_on(hanging, body.rest, np.eye(3), body.joints[0]))[0]
            for hanging in recipe.hangings
        ),
    )


def pose_person(person: Person, pose: np.ndarray) -> PosedPerson:
    """Poses a person: skinning, then folds, hanging fabric and skirts.

    Args:
        person: The person.
        pose: `(24, 3)` axis-angle relative to the parent, as in `body.BodyParams`.

    Returns:
        The posed person, pelvis at its rest position.

    Raises:
        ValueError: If the pose has another shape or is not finite.
    """
    pose = np.asarray(pose, np.float64)
    check_shape("pose", pose, "24 3")
    if not np.isfinite(pose).all():
        raise ValueError(
            f"the pose holds {pose[~np.isfinite(pose)][0]}, expected finite angles"
        )
    body, surface = fine_body(), person.surface
    joints, rotations = posed_frames(pose, surface.joints)
    move = _Skinning(surface.joints, joints, rotations)
    skin, dressed = (
        move(points, body.weights) for points in (surface.skin, surface.vertices)
    )
    normals = vertex_normals(dressed, body.faces)
    folds = fold_displacement(surface.wrinkle, surface.edges, skin, person.recipe.seed)
    dressed = hang(dressed, normals, surface.slack) + folds[:, None] * normals
    parts = [
        Part("body", 0, dressed, body.faces, body.rest, np.ones(len(dressed))),
        *(
            _hanging_part(person, number, dressed, joints[0], rotations[0])
            for number in range(len(person.recipe.hangings))
        ),
    ]
    if person.hair is not None:
        hair = person.hair
        vertices = move(hair.vertices, hair.weights)
        parts.append(Part("hair", 0, vertices, hair.faces, hair.rest, hair.shade))
    return PosedPerson(person, pose, tuple(parts), joints)


def skinned(posed: PosedPerson, vertices: np.ndarray) -> np.ndarray:
    """Poses vertices of the embedded body, bare, with the shape of a person.

    Args:
        posed: The person.
        vertices: `(N,)` vertex numbers of the template.

    Returns:
        `(N, 3)` body space, metres.
    """
    body, rest_joints = load_template(), posed.person.surface.joints
    basis = np.asarray(body.basis, np.float64)[:, :, vertices]
    coefficients = np.concatenate([[1.0], posed.person.shape])
    rest = np.einsum("s,scn->nc", coefficients, basis)
    joints, rotations = posed_frames(posed.pose, rest_joints)
    weights = np.asarray(body.weights, np.float64)[:, vertices].T
    return _Skinning(rest_joints, joints, rotations)(rest, weights)


class _Skinning:
    """Linear blend skinning on the host."""

    def __init__(self, rest_joints, joints, rotations):
        offset = joints - np.einsum("jab,jb->ja", rotations, rest_joints)
        self.transforms = np.concatenate([rotations, offset[..., None]], -1)

    def __call__(self, points, weights):
        blended = (weights @ self.transforms.reshape(24, 12)).reshape(-1, 3, 4)
        return (blended[..., :3] * points[:, None]).sum(-1) + blended[..., 3]


def _drape_on(hanging: Hanging, vertices, rotation, origin):
    """Rings of a hanging garment around a posed dressed surface."""
    # The template's own vertices are dense enough for fabric, and a quarter of all.
    coarse = slice(load_template().num_vertices)
    rest = fine_body().rest[coarse]
    local = (vertices[coarse] - origin) @ rotation
    below = (rest[:, 1] < hanging.top + 0.02) & (np.abs(rest[:, 0]) < 0.3)
    waist = below & (rest[:, 1] > hanging.top - 0.02)
    return drape(hanging, local[waist], local[below])


def _hanging_part(person, number, dressed, origin, rotation):
    hanging = person.recipe.hangings[number]
    rings = _drape_on(hanging, dressed, rotation, origin)
    vertices = close_tube(rings)[0] @ rotation.T + origin
    faces = tube_faces(len(rings) + 1, NUM_MERIDIANS)
    shade = np.ones(len(vertices))
    # Inside a skirt it is dark.
    shade[-(NUM_MERIDIANS + 2) :] = 0.35
    rest = person.tube_rest[number]
    return Part(hanging.label, number, vertices, faces, rest, shade)


def skinning_weights(person: Person, part: Part) -> np.ndarray:
    """Returns skinning weights `(N, 24)` of a part, for programs that know no drape.

    Hanging garments take those of the body underneath, smoothed, so that a skinned
    export of the T-pose moves plausibly.
    """
    body = fine_body()
    if part.name == "body":
        return body.weights
    if part.name == "hair":
        return person.hair.weights
    covered = (body.rest[:, 1] < 0.3) & (fields.arm(body.rest) == 0)
    covered &= np.abs(body.rest[:, 0]) < 0.3
    _, nearest = cKDTree(body.rest[covered]).query(part.rest, k=24)
    weights = body.weights[covered][nearest].mean(1)
    # A hem at the ankles does not follow the toes.
    for side in ("left", "right"):
        ankle, foot = JOINT_INDEX[f"{side}_ankle"], JOINT_INDEX[f"{side}_foot"]
        weights[:, ankle] += weights[:, foot]
        weights[:, foot] = 0
    return weights / weights.sum(1, keepdims=True)
