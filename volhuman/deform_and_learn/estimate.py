"""Bodies in photographs by the regressor: what the other systems stand on.

estimator = load_estimator()
body = estimate_body(estimator, rgb, crop)
params, camera = body_and_camera(estimator.model, body)
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.body.model import BodyModel
from volhuman.body.template import load_template
from volhuman.checks import check_shape
from volhuman.data.augmentation import Geometry
from volhuman.data.photograph_crops import crop_photograph
from volhuman.data.smpl_results import EstimatedPerson
from volhuman.deform_and_learn.body_config import BodyNetwork
from volhuman.deform_and_learn.measure_bodies import make_predict
from volhuman.deform_and_learn.registration import (
    Observation,
    RegistrationOptions,
    Unknowns,
    register,
    unknowns_of,
)
from volhuman.deform_and_learn.regressor import (
    join_outputs,
    rest_outputs,
    split_outputs,
)
from volhuman.deform_and_learn.regressor_augmentation import move_body
from volhuman.deform_and_learn.regressor_task import seen_joints
from volhuman.deform_and_learn.regressor_weights import load_regressor
from volhuman.geometry.camera import Crop

# Looks at a person for several hypotheses: crops moved and scaled by so much.
_JITTER_SHIFT, _JITTER_SCALE = 0.05, 0.12
_MIRROR = Geometry(
    angle=np.zeros((), np.float32),
    shift=np.zeros(2, np.float32),
    scale=np.ones((), np.float32),
    flip=np.ones((), bool),
)


@dataclasses.dataclass(frozen=True)
class Estimator:
    """A regressor ready for use.

    Attributes:
        network: Sizes.
        model: The body that it speaks of.
        predict: Compiled: uint8 pictures `(B, S, S, 3)` to numbers `(B, 105)`.
    """

    network: BodyNetwork
    model: BodyModel
    predict: Callable[[np.ndarray], jax.Array]


def load_estimator(weights: str | Path = "") -> Estimator:
    """Loads a regressor.

    Args:
        weights: File of `regressor_weights`; empty for those of the package.

    Raises:
        InputError: If the file cannot be used.
    """
    network, variables = load_regressor(weights)
    return Estimator(network, load_template(), make_predict(network, variables))


def estimate_body(estimator: Estimator, rgb: np.ndarray, crop: Crop) -> Unknowns:
    """Estimates the body in a part of a photograph.

    Args:
        estimator: The regressor.
        rgb: `(H, W, 3)` photograph in [0, 1].
        crop: Square around the person.

    Returns:
        Body and camera in view units of the crop; see `registration.body_and_camera`.

    Raises:
        ValueError: If the photograph has another shape or other numbers.
    """
    outputs = estimator.predict(_pictures(estimator, rgb, [crop]))
    return split_outputs(outputs[0], estimator.model.num_shape)


def estimate_hypotheses(
    estimator: Estimator, rgb: np.ndarray, crop: Crop, count: int
) -> Unknowns:
    """Estimates a body several times, from slightly other crops and mirrored ones.

    Args:
        estimator: The regressor.
        rgb: `(H, W, 3)` photograph in [0, 1].
        crop: Square around the person; the first estimate sees exactly this.
        count: Number of estimates.

    Returns:
        Bodies and cameras `(count, ...)` in view units of `crop`. First stands the one
        whose joints are nearest to those of all others in the mean.

    Raises:
        ValueError: If the photograph has another shape or other numbers.
    """
    generator = np.random.default_rng(0)
    crops = [crop]
    for _ in range(1, count):
        shift, scale = generator.uniform(-1, 1, 2), generator.uniform(-1, 1)
        centre = crop.centre + _JITTER_SHIFT * float(crop.size) * shift
        size = float(crop.size) * (1 + _JITTER_SCALE * scale)
        crops.append(Crop(np.float32(centre), np.float32(size)))
    pictures = _pictures(estimator, rgb, crops)
    pictures[1::2] = pictures[1::2, :, ::-1]
    outputs = estimator.predict(pictures)
    bodies = []
    for number, (own, numbers) in enumerate(zip(crops, outputs, strict=True)):
        body = split_outputs(numbers, estimator.model.num_shape)
        if number % 2:
            body = move_body(_MIRROR, body, estimator.network.image_size)
        bodies.append(_in_crop(body, own, crop))
    outputs = jnp.stack([join_outputs(body) for body in bodies])
    joints = jax.vmap(seen_joints)(outputs)
    centred = joints - joints[:, :1]
    apart = jnp.linalg.norm(centred[:, None] - centred[None], axis=-1).mean((1, 2))
    return split_outputs(outputs[jnp.argsort(apart)], estimator.model.num_shape)


def body_of_person(person: EstimatedPerson, model: BodyModel, crop: Crop) -> Unknowns:
    """The body that another estimator found, in view units of a crop."""
    half = float(crop.size) / 2
    return dataclasses.replace(
        split_outputs(jnp.asarray(rest_outputs()), model.num_shape),
        pose=jnp.asarray(person.pose),
        raw_rotation=jnp.asarray(person.rotation),
        log_scale=jnp.asarray(np.log(person.pixels_a_metre / half), jnp.float32),
        translation=jnp.asarray((person.pelvis - crop.centre) / half, jnp.float32),
    )


def refine_bodies(
    model: BodyModel,
    observation: Observation,
    bodies: Unknowns,
    options: RegistrationOptions,
) -> tuple[Unknowns, jax.Array]:
    """Fits estimates to annotations, each from where it stands.

    Args:
        model: Body model.
        observation: Annotations in view units of the estimates' crop.
        bodies: `(K, ...)`.
        options: Stages and steps.

    Returns:
        The bodies and their losses, the smallest first.
    """
    found = _refine(options)(model, observation, bodies)
    order = jnp.argsort(found.loss)
    found = jax.tree.map(lambda leaf: leaf[order], found)
    return unknowns_of(found), found.loss


@functools.cache
def _refine(options: RegistrationOptions):
    def of_one(model, observation, body):
        alone = jax.tree.map(lambda leaf: leaf[None], body)
        return register(model, observation, options, alone)

    return jax.jit(jax.vmap(of_one, in_axes=(None, None, 0)))


def _pictures(estimator: Estimator, rgb: np.ndarray, crops: list[Crop]) -> np.ndarray:
    check_shape("rgb", rgb, "H W 3")
    if rgb.dtype.kind != "f" or not (rgb.min() >= 0 and rgb.max() <= 1):
        raise ValueError(
            f"rgb is {rgb.dtype} from {rgb.min()} to {rgb.max()}, expected finite "
            "floats in [0, 1]"
        )
    side = estimator.network.image_size
    pictures = np.stack([crop_photograph(rgb, crop, side) for crop in crops])
    return np.round(255 * pictures).astype(np.uint8)


def _in_crop(body: Unknowns, own: Crop, wanted: Crop) -> Unknowns:
    """A body seen in one crop, in view units of another."""
    share = float(own.size) / float(wanted.size)
    moved = (own.centre - wanted.centre) * (2 / float(wanted.size))
    return dataclasses.replace(
        body,
        log_scale=body.log_scale + np.log(share),
        translation=share * body.translation + moved,
    )
