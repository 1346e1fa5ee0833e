"""Painting one person in many poses, a few pictures at a time."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.errors import InputError
from volhuman.repose.config import Network
from volhuman.repose.forward import (
    observe_person,
    perform_pose,
    source_masks,
    target_geometry,
)

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
        np.asarray(x, np.float32)[None] for x in (pictures, source_joints)
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


def paint_pairs(
    network: Network, params: Mapping[str, Any], batch: Mapping[str, Any], key: Any
) -> jax.Array:
    """Paints the people of pairs as their targets stand.

    Args:
        network: Sizes.
        params: Parameters of the generator.
        batch: "image_source" `(B, N, N, 3)` uint8, and "joints_source" and
            "joints_target" `(B, J, 3)` as in `forward.repose`.
        key: Key of the noise behind the people.

    Returns:
        `(B, N, N, 3)` in [-1, 1].
    """
    pictures = batch["image_source"][:, None].astype(np.float32) / 255
    source_joints = batch["joints_source"][:, None]
    observe, paint = _painter(network)
    noise = jax.random.normal(key, (*pictures.shape[:1], *pictures.shape[2:4], 1))
    person = observe(params, pictures, source_joints, noise)
    return paint(params, person, source_joints, batch["joints_target"])


def painted_bytes(painted: np.ndarray) -> np.ndarray:
    """Converts pictures in [-1, 1] to uint8."""
    return np.round(np.clip((painted + 1) / 2, 0, 1) * 255).astype(np.uint8)


@functools.cache
def _painter(network: Network):
    """The halves of the network: people, and targets of one person or one of each."""

    def observe(params, pictures, source_joints, noise):
        masks = source_masks(network, source_joints)
        return observe_person(network, params, pictures * 2 - 1, masks, noise)

    def paint(params, person, source_joints, targets):
        # Volumes of several photographs of a person follow each other.
        times = len(targets) // len(source_joints)
        repeat = lambda x: jnp.tile(x, (times,) + (1,) * (x.ndim - 1))
        people, masks = jax.tree.map(
            repeat, (person, source_masks(network, source_joints))
        )
        geometry = target_geometry(network, repeat(source_joints), targets)
        return perform_pose(network, params, people, masks, *geometry)["image"]

    return jax.jit(observe), jax.jit(paint)
