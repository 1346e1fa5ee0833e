"""Random changes of a training picture that its body, its marks and its fit follow.

The paper does not say how it augments; turns of 20 degrees, a fifth in size,
mirroring and colour are our choice.
"""

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.body.keypoints import KEYPOINT_INDEX, KEYPOINT_NAMES
from volhuman.body.model import BodyModel
from volhuman.body.skeleton import MIRROR, exchange_sides
from volhuman.data.augmentation import (
    Geometry,
    augment_colour,
    augment_image,
    augment_points,
    sample_geometry,
)
from volhuman.deform_and_learn.registration import Unknowns
from volhuman.deform_and_learn.regressor import join_outputs, split_outputs
from volhuman.geometry.rotation import axis_angle_to_matrix

_ANGLE = np.pi / 9
_SCALE = 0.2
# Half the largest shift of a published augmentation, as a share of the side: the person
# lies in a crop around them.
_SHIFT = 0.04
# Brightness, contrast and saturation as for reposing; skin is never green.
_HUE = 20.0
_MIRROR_KEYPOINTS = np.array(
    [KEYPOINT_INDEX[exchange_sides(name)] for name in KEYPOINT_NAMES], np.int32
)
_FLIP = np.array([-1.0, 1.0, 1.0], np.float32)


def augment_example(
    key: jax.Array, example: dict[str, jax.Array], model: BodyModel
) -> dict[str, jax.Array]:
    """Changes one example of `fitted_people`; see `change_geometry` for what changes.

    Args:
        key: Random key.
        example: The example; "image" is uint8.
        model: Body model that is its own mirror image.

    Returns:
        The example, "image" float32 in [0, 1].
    """
    colour_key, geometry_key = jax.random.split(key)
    image = example["image"].astype(jnp.float32) / 255
    image = augment_colour(colour_key, image, hue=_HUE)
    geometry = sample_geometry(
        geometry_key, angle=_ANGLE, shift=_SHIFT * len(image), scale=_SCALE
    )
    return change_geometry(geometry, example | {"image": image}, model)


def change_geometry(
    geometry: Geometry, example: dict[str, jax.Array], model: BodyModel
) -> dict[str, jax.Array]:
    """Moves picture, annotations and the fitted body alike.

    A weak perspective camera follows exactly: it turns about its axis, and its scale
    and translation change. A mirrored person is the person mirrored in body space, seen
    by the mirrored camera.

    Args:
        geometry: The change, in pixels of the picture.
        example: Float picture `(S, S, 3)` and the fields of `fitted_people`.
        model: Body model that is its own mirror image.
    """
    side = len(example["image"])
    pixels = lambda points: (points + 1) * (side / 2)

    def move(points):
        return augment_points(geometry, pixels(points), (side, side)) * (2 / side) - 1

    flip = geometry.flip
    order = jnp.where(flip, _MIRROR_KEYPOINTS, np.arange(len(_MIRROR_KEYPOINTS)))
    vertices = example["dense_vertices"]
    fit = split_outputs(example["fit"], model.num_shape)
    return example | {
        "image": augment_image(geometry, example["image"]),
        "keypoints": move(example["keypoints"])[order],
        "keypoint_weights": example["keypoint_weights"][order],
        "keypoint_depths": geometry.scale * example["keypoint_depths"][order],
        "depth_weights": example["depth_weights"][order],
        "dense_points": move(example["dense_points"]),
        "dense_vertices": jnp.where(flip, model.mirror[vertices], vertices),
        "fit": join_outputs(move_body(geometry, fit, side)),
    }


def move_body(geometry: Geometry, body: Unknowns, side: int) -> Unknowns:
    """Body and camera of `registration.Unknowns` after a change; see above."""
    turn = axis_angle_to_matrix(geometry.angle * jnp.array([0.0, 0.0, 1.0]))
    rotation = jnp.matmul(turn, body.raw_rotation, precision="highest")
    shifted = body.translation + geometry.shift * (2 / side)
    translation = geometry.scale * (turn[:2, :2] * shifted).sum(-1)
    flip = lambda mirrored, plain: jnp.where(geometry.flip, mirrored, plain)
    return Unknowns(
        pose=flip(body.pose[MIRROR[1:] - 1] * -_FLIP, body.pose),
        shape=body.shape,
        scales=flip(body.scales[MIRROR], body.scales),
        raw_rotation=flip(_FLIP[:, None] * rotation * _FLIP, rotation),
        log_scale=body.log_scale + jnp.log(geometry.scale),
        translation=flip(translation * _FLIP[:2], translation),
    )
