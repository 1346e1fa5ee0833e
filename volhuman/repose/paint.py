"""Painting one person in many poses, a few pictures at a time."""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.errors import InputError
from volhuman.repose.config import Network
from volhuman.repose.forward import observe_person, perform_pose

# Frames that are painted together; a shorter last batch is filled up, so that one
# program serves all.
_BATCH = 4


def paint_frames(
    network: Network,
    params: dict,
    pictures: np.ndarray,
    source_joints: np.ndarray,
    target_joints: np.ndarray,
    *,
    seed: int = 0,
) -> Iterator[np.ndarray]:
    """Paints one person in many poses, a few at a time; the person is lifted once.

    Args:
        network: Sizes.
        params: Parameters of the generator.
        pictures: `(S, N, N, 3)` in [0, 1], photographs of the person.
        source_joints: `(S, J, 3)` as in `forward.repose`.
        target_joints: `(T, J, 3)`.
        seed: Of the noise behind the person, the same in all frames.

    Yields:
        T pictures `(N, N, 3)` uint8.

    Raises:
        InputError: If the network gives numbers that are not finite.
    """
    side = network.image_size
    noise = jax.random.normal(jax.random.key(seed), (1, side, side, 1))
    pictures, source_joints = (
        jnp.asarray(x, jnp.float32)[None] for x in (pictures, source_joints)
    )
    observe, paint = _painter(network)
    person = observe(params, pictures, source_joints, noise)
    batch = min(_BATCH, len(target_joints))
    for first in range(0, len(target_joints), batch):
        block = np.asarray(target_joints[first : first + batch], np.float32)
        missing = batch - len(block)
        padded = np.pad(block, ((0, missing), (0, 0), (0, 0)), mode="edge")
        painted = np.asarray(paint(params, person, source_joints, padded))
        if not np.isfinite(painted).all():
            raise InputError(
                "the network gives numbers that are not finite; give other "
                "--config.weights"
            )
        yield from painted_bytes(painted[: len(block)])


def painted_bytes(painted: np.ndarray) -> np.ndarray:
    """Converts pictures in [-1, 1] to uint8."""
    return np.round(np.clip((painted + 1) / 2, 0, 1) * 255).astype(np.uint8)


@functools.cache
def _painter(network: Network):
    """The compiled halves of the network: one person, and a batch of their targets."""

    def observe(params, pictures, source_joints, noise):
        return observe_person(network, params, pictures * 2 - 1, source_joints, noise)

    def paint(params, person, source_joints, targets):
        each = lambda x: jnp.repeat(x, len(targets), axis=0)
        # Volumes of several photographs of a person follow each other.
        people = {
            name: jnp.tile(value, (len(targets),) + (1,) * (value.ndim - 1))
            for name, value in person.items()
        }
        return perform_pose(network, params, people, each(source_joints), targets)[
            "image"
        ]

    return jax.jit(observe), jax.jit(paint)
