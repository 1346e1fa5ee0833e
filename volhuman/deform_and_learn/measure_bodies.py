"""How good estimated bodies are on pictures of which the truth is known."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.data.loader import Source, source_name
from volhuman.deform_and_learn.body_config import BodyNetwork
from volhuman.deform_and_learn.fitted_people import read_once
from volhuman.deform_and_learn.regressor import Regressor, rest_outputs
from volhuman.deform_and_learn.regressor_task import joint_errors, seen_joints
from volhuman.evaluation.protocol import Protocol, Score, summarize

_BATCH = 32
_FIELDS = ("image", "joints", "person")
_SIGN = "flipped"


@dataclasses.dataclass(frozen=True, eq=False)
class MeasuredBodies:
    """Errors by picture.

    Attributes:
        values: `(N,)` by name of `regressor_task.joint_errors`.
        people: `(N,)` the person in each.
        data: Name of the data.
    """

    values: dict[str, np.ndarray]
    people: np.ndarray
    data: str


def make_predict(
    network: BodyNetwork, variables: Mapping[str, Any]
) -> Callable[[jax.Array], jax.Array]:
    """Compiles a regressor: uint8 pictures `(B, S, S, 3)` to numbers `(B, 105)`."""

    def predict(variables, images):
        pictures = images.astype(jnp.float32) / 255
        return Regressor(network).apply(variables, pictures)

    return functools.partial(jax.jit(predict), variables)


def measure_people(
    network: BodyNetwork, variables: Mapping[str, Any] | None, people: Source
) -> MeasuredBodies:
    """Estimates the body in every picture and compares with the truth.

    Args:
        network: Sizes.
        variables: Of the regressor; None measures the body that stays as it is: a
            T-pose that faces the camera.
        people: Records of registrations.
    """
    predict = make_predict(network, variables) if variables is not None else rest_bodies
    rows, names = [], []
    for batch in read_once(people, network.image_size, _FIELDS, batch_size=_BATCH):
        count = len(batch["image"])
        missing = ((0, _BATCH - count), (0, 0), (0, 0), (0, 0))
        joints = _seen(predict(np.pad(batch["image"], missing)))[:count]
        rows.append(joint_errors(joints, batch["joints"]))
        names.extend(batch["person"])
    values = {n: np.concatenate([np.asarray(row[n]) for row in rows]) for n in rows[0]}
    return MeasuredBodies(values, np.array(names), source_name(people))


def rest_bodies(images: np.ndarray) -> jax.Array:
    """The numbers `(B, 105)` of T-poses, whatever is in the pictures."""
    return jnp.tile(rest_outputs(), (len(images), 1))


_seen = jax.jit(jax.vmap(seen_joints))


def without_error(measured: MeasuredBodies) -> MeasuredBodies:
    """What the truth scores against itself."""
    values = {name: np.zeros_like(x) for name, x in measured.values.items()}
    return dataclasses.replace(measured, values=values)


def score_cells(measured: MeasuredBodies) -> dict[str, Score]:
    """Means with intervals, clustered by person, by column of a table."""
    scores = {}
    for name, values in measured.values.items():
        protocol = Protocol(
            metric=name,
            variant="24 joints",
            unit="" if name == _SIGN else "mm",
            higher_is_better=False,
            data=measured.data,
            body_source="picture alone",
            alignment="similarity" if name == "PA-MPJPE" else "pelvis",
            extra={} if name == "PA-MPJPE" else {"scale": "true sum of bones"},
        )
        scores[protocol.label] = summarize(values, protocol, groups=measured.people)
    return scores
