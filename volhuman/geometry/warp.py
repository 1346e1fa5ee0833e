"""Warping the parts of a feature volume, each by its own transform.

Conventions of every function here: a volume is `(H, W, D, C)`, part masks are
`(P, H, W, D)`, one volume a part; transforms act on points x, y, z of the view cube.

How it is computed. The definition makes P masked copies of the volume and resamples
each of them everywhere, although a limb fills about 1 % of the cube. Here the output is
cut into tiles, and only the (tile, part) pairs that the part's mask can reach are
sampled. The test is conservative, so the result equals the definition for any mask. On
accelerators, where loops of dynamic length are slow, one tile covers the whole volume.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.checks import check_shape
from volhuman.geometry.warp_tiles import TilePlan

_TILE = 8
_MAXIMUM_PARTS = 127  # the winning part of every output value is kept as int8


def warp_parts(
    volume: jax.Array, masks: jax.Array, source_from_target: jax.Array
) -> jax.Array:
    """Moves the parts of a volume and merges them: `max_i T_i(mask_i * volume)`.

    Each part is the volume times its mask, resampled with trilinear interpolation and
    zeros outside; the parts are merged by the maximum. Where two parts tie the first
    one wins and receives the whole gradient.

    Differentiable in all three arguments. What is not asked for is not computed. Under
    `jax.vmap` with batched transforms the examples run one after the other, which is as
    fast as a loop; to spread a batch over devices put the `vmap` inside
    `jax.shard_map`.

    Source: Knoche et al., "Reposing Humans by Warping 3D Features", section 3.2 and
    equation 3.

    Args:
        volume: `(H, W, D, C)` features.
        masks: `(P, H, W, D)` part masks in the source, any values, at most 127 parts.
        source_from_target: `(P, 3, 4)` or `(P, 4, 4)` affine maps in the view cube:
            where in the source each target position reads. (The inverse of the motion;
            with `Similarity` it is `motion.inverse().as_matrix()`.)

    Returns:
        `(H, W, D, C)` warped volume.

    Raises:
        ValueError: If the shapes disagree or there are more than 127 parts.
    """
    sizes = check_shape("volume", volume, "H W D C")
    sizes = check_shape("masks", masks, "P H W D", **sizes)
    rows = "4" if source_from_target.shape[-2:-1] == (4,) else "3"
    check_shape("source_from_target", source_from_target, f"P {rows} 4", **sizes)
    if sizes["P"] > _MAXIMUM_PARTS:
        raise ValueError(
            f"masks holds {sizes['P']} parts, expected at most {_MAXIMUM_PARTS}"
        )
    index_maps = _index_maps(source_from_target[:, :3], volume.shape[:3])
    return _warp(volume, masks, index_maps)


def _index_maps(maps: jax.Array, sizes: tuple[int, int, int]) -> jax.Array:
    """Rewrites view-cube maps for voxel indices in the order y, x, z: `(P, 3, 4)`."""
    height, width, depth = sizes
    n = np.array([width, height, depth], np.float32)
    linear = maps[:, :, :3] * (n[:, None] / n[None, :])
    constant = (maps[:, :, :3] * (1 / n - 1)).sum(-1) + maps[:, :, 3]
    offset = 0.5 * (n * (constant + 1) - 1)
    order = np.array([1, 0, 2])
    return jnp.concatenate(
        [linear[:, order][:, :, order], offset[:, order, None]], axis=-1
    )


@jax.custom_vjp
def _warp(volume, masks, maps):
    return _forward(volume, masks, maps)


def _warp_forward(volume, masks, maps):
    # With symbolic zeros the arguments say whether they are differentiated. Mostly only
    # the volume is; then its values are not kept and the backward pass is about 1.3
    # times shorter.
    only_volume = not (masks.perturbed or maps.perturbed)
    volume, masks, maps = volume.value, masks.value, maps.value
    output, winner = _forward_with_winner(volume, masks, maps)
    return output, (None if only_volume else volume, masks, maps, winner)


def _warp_backward(residuals, cotangent):
    volume, masks, maps, winner = residuals
    if isinstance(cotangent, jax.custom_derivatives.SymbolicZero):
        cotangent = jnp.zeros(cotangent.shape, cotangent.dtype)
    if volume is None:
        return _backward_volume(cotangent, masks, maps, winner), None, None
    return _backward(cotangent, masks, maps, winner, volume)


_warp.defvjp(_warp_forward, _warp_backward, symbolic_zeros=True)


def _per_platform(function):
    """Runs with small tiles on CPU and with one tile elsewhere, one example at a time.

    Under a plain `vmap` of per-example transforms every turn of the tile loop would
    select whole volumes, 65 times slower than a loop over the examples.
    """

    @jax.custom_batching.sequential_vmap
    def run(*arguments):
        sizes = arguments[0].shape[:3]
        return jax.lax.platform_dependent(
            *arguments,
            cpu=functools.partial(function, tile=(_TILE, _TILE, _TILE)),
            default=functools.partial(function, tile=sizes),
        )

    return run


def _sample(flat_volume, flat_mask, rows, weights):
    """One part in one tile: `(cells, C)`."""
    weights = weights * flat_mask.at[rows].get(mode="promise_in_bounds")
    return sum(
        flat_volume.at[row].get(mode="promise_in_bounds") * weight[:, None]
        for row, weight in zip(rows, weights)
    )


def _start(plan, number, channels):
    """Before the first part: 0, which the parts that miss the tile contribute.

    Where every part reaches the tile nothing contributes that 0.
    """
    nothing = jnp.where(plan.count[number] == plan.num_parts, -jnp.inf, 0.0)
    return jnp.full((len(plan.cells), channels), 1.0) * nothing


@_per_platform
def _forward(volume, masks, maps, *, tile):
    """The warped volume."""
    plan = TilePlan(masks, maps, tile)
    channels = volume.shape[-1]
    flat_volume = volume.reshape(-1, channels)
    flat_masks = masks.reshape(plan.num_parts, -1)

    def one_tile(turn, output):
        number = plan.active[turn]
        origin = plan.origin(number)

        def one_part(turn, best):
            part = plan.order[number, turn]
            rows, weights = plan.corners(maps[part], origin)
            return jnp.maximum(
                best, _sample(flat_volume, flat_masks[part], rows, weights)
            )

        best = jax.lax.fori_loop(
            0, plan.count[number], one_part, _start(plan, number, channels)
        )
        return plan.write(output, best, origin)

    output = plan.padded(channels, 0, volume.dtype)
    output = jax.lax.fori_loop(0, plan.num_active, one_tile, output)
    height, width, depth = plan.sizes
    return output[:height, :width, :depth]


@_per_platform
def _forward_with_winner(volume, masks, maps, *, tile):
    """The warped volume and the part that supplied each value (-1: none), int8.

    The big buffers are only written, never read, in the loop: a loop body that reads
    two carried buffers to update both would copy them in each turn.
    """
    plan = TilePlan(masks, maps, tile)
    channels = volume.shape[-1]
    flat_volume = volume.reshape(-1, channels)
    flat_masks = masks.reshape(plan.num_parts, -1)

    def one_tile(turn, carry):
        output, winner = carry
        number = plan.active[turn]
        origin = plan.origin(number)

        def one_part(turn, carry):
            best, best_part = carry
            part = plan.order[number, turn]
            rows, weights = plan.corners(maps[part], origin)
            value = _sample(flat_volume, flat_masks[part], rows, weights)
            better = value > best
            return (
                jnp.where(better, value, best),
                jnp.where(better, part.astype(jnp.int8), best_part),
            )

        start = _start(plan, number, channels)
        best, best_part = jax.lax.fori_loop(
            0,
            plan.count[number],
            one_part,
            (start, jnp.full(start.shape, -1, jnp.int8)),
        )
        return plan.write(output, best, origin), plan.write(winner, best_part, origin)

    output, winner = jax.lax.fori_loop(
        0,
        plan.num_active,
        one_tile,
        (
            plan.padded(channels, 0, volume.dtype),
            plan.padded(channels, -1, jnp.int8),
        ),
    )
    height, width, depth = plan.sizes
    return output[:height, :width, :depth], winner[:height, :width, :depth]


@_per_platform
def _backward_volume(cotangent, masks, maps, winner, *, tile):
    """Gradient by the volume alone."""
    plan = TilePlan(masks, maps, tile)
    channels = cotangent.shape[-1]
    flat_masks = masks.reshape(plan.num_parts, -1)
    cotangent, winner = plan.pad(cotangent), plan.pad(winner)

    def one_tile(turn, by_volume):
        number = plan.active[turn]
        origin = plan.origin(number)
        tile_cotangent = plan.read(cotangent, origin)
        tile_winner = plan.read(winner, origin)

        def one_part(turn, by_volume):
            part = plan.order[number, turn]
            received = jnp.where(
                tile_winner == part.astype(jnp.int8), tile_cotangent, 0
            )
            rows, weights = plan.corners(maps[part], origin)
            mask = flat_masks[part].at[rows].get(mode="promise_in_bounds")
            weights = weights * mask
            return _scatter(by_volume, rows, weights, received)

        return jax.lax.fori_loop(0, plan.count[number], one_part, by_volume)

    by_volume = jnp.zeros((masks[0].size, channels), cotangent.dtype)
    by_volume = jax.lax.fori_loop(0, plan.num_active, one_tile, by_volume)
    return by_volume.reshape(*plan.sizes, channels)


@_per_platform
def _backward(cotangent, masks, maps, winner, volume, *, tile):
    """Gradients by the volume, the masks and the maps."""
    plan = TilePlan(masks, maps, tile)
    flat_volume = volume.reshape(-1, volume.shape[-1])
    flat_masks = masks.reshape(plan.num_parts, -1)
    cotangent, winner = plan.pad(cotangent), plan.pad(winner)

    def one_tile(turn, gradients):
        number = plan.active[turn]
        origin = plan.origin(number)
        tile_cotangent = plan.read(cotangent, origin)
        tile_winner = plan.read(winner, origin)

        def one_part(turn, gradients):
            by_volume, by_masks, by_maps = gradients
            part = plan.order[number, turn]
            received = jnp.where(
                tile_winner == part.astype(jnp.int8), tile_cotangent, 0
            )
            rows, _ = plan.corners(maps[part], origin)
            mask = flat_masks[part].at[rows].get(mode="promise_in_bounds")

            def masked_weights(map_, mask):
                return plan.corners(map_, origin)[1] * mask

            weights, pull_back = jax.vjp(masked_weights, maps[part], mask)
            by_weight = [
                (flat_volume.at[row].get(mode="promise_in_bounds") * received).sum(1)
                for row in rows
            ]
            by_map, by_mask = pull_back(jnp.stack(by_weight))
            return (
                _scatter(by_volume, rows, weights, received),
                by_masks.at[part, rows].add(by_mask),
                by_maps.at[part].add(by_map),
            )

        return jax.lax.fori_loop(0, plan.count[number], one_part, gradients)

    gradients = tuple(map(jnp.zeros_like, (flat_volume, flat_masks, maps)))
    by_volume, by_masks, by_maps = jax.lax.fori_loop(
        0, plan.num_active, one_tile, gradients
    )
    return by_volume.reshape(volume.shape), by_masks.reshape(masks.shape), by_maps


def _scatter(by_volume, rows, weights, received):
    """Adds what the cells of a tile received to the eight corners that they read."""
    spread = weights[:, :, None] * received
    return by_volume.at[rows.reshape(-1)].add(
        spread.reshape(rows.size, -1), mode="promise_in_bounds"
    )
