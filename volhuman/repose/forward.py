"""From photographs and joints to the reposed picture: geometry and network together."""

import functools

import jax
import jax.numpy as jnp

from volhuman.repose import published
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

    The published network's masks and maps, and the maps of the warp "mirrored", have no
    derivatives by the joints.

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
    masks = source_masks(network, source_joints)
    maps, heatmaps = target_geometry(network, source_joints, target_joints)
    person = observe_person(network, params, images, masks, noise, remat=remat)
    painted = perform_pose(network, params, person, masks, maps, heatmaps, remat=remat)
    return person | painted


def observe_person(
    network: Network,
    params: dict,
    images: jax.Array,
    masks: jax.Array,
    noise: jax.Array,
    *,
    remat: bool = False,
) -> dict[str, jax.Array]:
    """Does the half of `repose` that does not depend on the target, once for many.

    Args:
        network: As of `repose`, like the others.
        params: Parameters.
        images: Photographs.
        masks: Of `source_masks`.
        noise: Noise.
        remat: As in `Generator`.

    Returns:
        What `Generator.observe` returns.
    """
    return Generator(network, remat).apply(
        {"params": params}, images, masks, noise, method="observe"
    )


def perform_pose(
    network: Network,
    params: dict,
    person: dict[str, jax.Array],
    masks: jax.Array,
    maps: jax.Array,
    heatmaps: jax.Array,
    *,
    remat: bool = False,
) -> dict[str, jax.Array]:
    """Paints observed people in new poses: the other half of `repose`.

    Args:
        network: As of `repose`, like the others.
        params: Parameters.
        person: From `observe_person`.
        masks: Of `source_masks`.
        maps: Of `target_geometry`, like the heat maps.
        heatmaps: The target poses.
        remat: As in `Generator`.

    Returns:
        What `Generator.perform` returns.
    """
    return Generator(network, remat).apply(
        {"params": params}, person, masks, maps, heatmaps, method="perform"
    )


def source_masks(network: Network, source_joints: jax.Array) -> jax.Array:
    """Part masks `(B, S, P, h, w, d)` of joints `(B, S, J, 3)` in the photographs.

    The published network's are drawn on the host, and have no derivatives.
    """
    if network.published:
        shape = (*source_joints.shape[:2], 10, *published.SHAPE)
        return _on_host(published.source_masks, _float(shape), source_joints)
    masks = functools.partial(
        part_masks,
        shape=network.volume_shape,
        joint_set=find_joint_set(network.joint_set),
        flat=network.warp == "2d",
    )
    source = view_from_pixels(source_joints, network.image_size)
    return jax.vmap(jax.vmap(masks))(source)


def target_geometry(
    network: Network, source_joints: jax.Array, target_joints: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Where each part reads in the photographs, and the heat maps of the target.

    Args:
        network: Sizes.
        source_joints: `(B, S, J, 3)`.
        target_joints: `(B, J, 3)`.

    Returns:
        Maps `(B, S, P, 3, 4)` and heat maps `(B, h, w, d, J)`. The published network's
        are computed on the host, and have no derivatives.
    """
    if network.published:
        count, sources, joints, _ = source_joints.shape
        likes = (
            _float((count, sources, 10, 3, 4)),
            _float((count, *published.SHAPE, joints)),
        )
        joints = source_joints, target_joints
        return _on_host(published.target_geometry, likes, *joints)
    joint_set, size = find_joint_set(network.joint_set), network.image_size
    source = view_from_pixels(source_joints, size)
    target = view_from_pixels(target_joints, size)
    maps = functools.partial(part_maps, joint_set=joint_set, warp=network.warp)
    heatmaps = functools.partial(
        pose_heatmaps, shape=network.volume_shape, flat=network.pose == "2d"
    )
    return (
        jax.vmap(jax.vmap(maps, (0, None)))(source, target),
        jax.vmap(heatmaps)(target),
    )


def _float(shape: tuple[int, ...]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def _on_host(function, likes, *joints):
    joints = jax.lax.stop_gradient(joints)
    return jax.pure_callback(function, likes, *joints, vmap_method="sequential")


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
