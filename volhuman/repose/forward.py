"""From photographs and joints to the reposed picture: geometry and network together."""

import functools

import jax
import jax.numpy as jnp

from volhuman.repose.config import Network
from volhuman.repose.model import Generator
from volhuman.repose.parts import (
    find_joint_set,
    part_maps,
    part_masks,
    pose_heatmaps,
    view_from_pixels,
)


def repose(
    network: Network,
    params: dict,
    images: jax.Array,
    source_joints: jax.Array,
    target_joints: jax.Array,
    noise: jax.Array,
    *,
    remat: bool = False,
) -> dict[str, jax.Array]:
    """Paints people in new poses; differentiable in parameters, pictures and joints.

    The networks compute in the type of parameters, pictures and noise, the geometry in
    that of the joints.

    Args:
        network: Sizes.
        params: Parameters of the generator.
        images: `(B, S, H, W, 3)` in [-1, 1], S photographs of each person.
        source_joints: `(B, S, J, 3)` joints in them: pixels x, y (pixel 0 covers
            [0, 1]) and depth in pixels, 0 at the pelvis, growing away from the camera.
        target_joints: `(B, J, 3)` joints of the wanted pose, same unit.
        noise: `(B, H, W, 1)` normal noise.
        remat: As in `Generator`.

    Returns:
        What `Generator` returns.
    """
    joint_set = find_joint_set(network.joint_set)
    shape, size = network.volume_shape, network.image_size
    source = view_from_pixels(source_joints, size)
    target = view_from_pixels(target_joints, size)
    flat_warp = network.warp == "2d"
    masks = functools.partial(
        part_masks, shape=shape, joint_set=joint_set, flat=flat_warp
    )
    maps = functools.partial(part_maps, joint_set=joint_set, warp=network.warp)
    each = lambda function: jax.vmap(jax.vmap(function, (0, None)))
    return Generator(network, remat).apply(
        {"params": params},
        images,
        jax.vmap(jax.vmap(masks))(source),
        each(maps)(source, target),
        jax.vmap(lambda j: pose_heatmaps(j, shape, flat=network.pose == "2d"))(target),
        noise,
    )


def picture_heatmaps(network: Network, joints: jax.Array) -> jax.Array:
    """Heat maps `(B, H, W, D, J)` at the size of the picture, for the discriminator."""
    shape = (network.image_size, network.image_size, network.critic_slices)
    view = view_from_pixels(joints, network.image_size)
    flat = network.pose == "2d"
    return jax.vmap(lambda j: pose_heatmaps(j, shape, flat=flat))(view)


def init_generator(network: Network, key: jax.Array) -> dict:
    """Draws parameters of the generator."""
    side, joints = network.image_size, len(find_joint_set(network.joint_set).names)
    shape = network.volume_shape
    return Generator(network).init(
        key,
        jnp.zeros((1, 1, side, side, 3)),
        jnp.zeros((1, 1, 10, *shape)),
        jnp.zeros((1, 1, 10, 3, 4)),
        jnp.zeros((1, *shape, joints)),
        jnp.zeros((1, side, side, 1)),
    )["params"]
