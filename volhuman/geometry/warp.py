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
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.checks import check_shape

_TILE = 8
_BLOCK = 4
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
    # the volume is; then its values are not kept and the backward pass is 2 to 3 times
    # shorter.
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


class _Plan:
    """Which parts reach which tiles, and the arithmetic of tiles.

    Attributes:
        order: `(tiles, P)` for every tile the parts that reach it first, by number.
        count: `(tiles,)` how many reach it.
        active: `(tiles,)` the tiles that any part reaches first.
        num_active: How many those are.
    """

    def __init__(self, masks, maps, tile):
        self.tile = tile
        self.sizes = masks.shape[1:]
        self.num_parts = masks.shape[0]
        self.grid = tuple(-(-n // t) for n, t in zip(self.sizes, tile))
        reached = _reached_tiles(masks, maps, tile, self.grid)
        self.count = reached.sum(1, dtype=jnp.int32)
        self.order = jnp.argsort(~reached, axis=1, stable=True).astype(jnp.int32)
        self.active = jnp.argsort(self.count == 0, stable=True).astype(jnp.int32)
        self.num_active = (self.count > 0).sum()
        axes = [jnp.arange(t, dtype=jnp.float32) for t in tile]
        cells = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1)
        self.cells = cells.reshape(-1, 3)

    def padded(self, channels, fill, dtype):
        """A buffer for the output that holds whole tiles."""
        sizes = [n * t for n, t in zip(self.grid, self.tile)]
        return jnp.full((*sizes, channels), fill, dtype)

    def origin(self, number):
        """First index of a tile along each axis."""
        _, columns, layers = self.grid
        steps = [
            number // (columns * layers),
            number // layers % columns,
            number % layers,
        ]
        # Stacked, the numbers are stored: else the divisions enter the copy loops.
        return jnp.stack([step * t for step, t in zip(steps, self.tile)])

    def read(self, buffer, origin):
        """The cells of a tile as rows `(cells, C)`."""
        channels = buffer.shape[-1]
        window = jax.lax.dynamic_slice(buffer, (*origin, 0), (*self.tile, channels))
        return window.reshape(-1, channels)

    def write(self, buffer, rows, origin):
        window = rows.reshape(*self.tile, rows.shape[-1])
        return jax.lax.dynamic_update_slice(buffer, window, (*origin, 0))

    def corners(self, map_, origin):
        """Flat source rows and weights of the corners that the cells read, `(8,
        cells)`.

        The matrix product and the stacks keep XLA from fusing this arithmetic into the
        gathers, where it would be done again for every channel.
        """
        cells = self.cells + origin.astype(jnp.float32)
        index = jnp.matmul(cells, map_[:, :3].T, precision="highest") + map_[:, 3]
        lower = jnp.floor(index)
        fraction = index - lower
        # Far outside, where the conversion would overflow, the weights are 0 anyway.
        lower = jnp.clip(lower, -2, max(self.sizes)).astype(jnp.int32)
        rows, weights = [], []
        for sides in itertools.product((0, 1), repeat=3):
            row, weight, inside = 0, 1, True
            for axis, (side, size) in enumerate(zip(sides, self.sizes)):
                cell = lower[:, axis] + side
                share = fraction[:, axis]
                inside = inside & (cell >= 0) & (cell < size)
                row = row * size + jnp.clip(cell, 0, size - 1)
                weight = weight * (share if side else 1 - share)
            rows.append(row)
            weights.append(jnp.where(inside, weight, 0))
        return jnp.stack(rows), jnp.stack(weights)


def _reached_tiles(masks, maps, tile, grid):
    """Tests which parts can contribute to which tiles: `(tiles, P)` bool, conservative.

    A tile's box in the source is compared with the mask's non-zero blocks through a
    summed-area table, so masks of any form are skipped where they are empty.
    """
    num_parts = masks.shape[0]
    tile_size = np.array(tile, np.float32)
    centres = np.stack(np.meshgrid(*[np.arange(n) for n in grid], indexing="ij"), -1)
    centres = centres.reshape(-1, 3) * tile_size + (tile_size - 1) / 2
    middle = jnp.einsum("pij,tj->tpi", maps[:, :, :3], centres, precision="highest")
    middle = middle + maps[:, :, 3]
    half = (jnp.abs(maps[:, :, :3]) * ((tile_size - 1) / 2)).sum(-1)

    blocks = tuple(-(-n // _BLOCK) for n in masks.shape[1:])
    padding = [(0, b * _BLOCK - n) for b, n in zip(blocks, masks.shape[1:])]
    filled = jnp.pad(masks != 0, [(0, 0), *padding])
    filled = filled.reshape(
        num_parts, blocks[0], _BLOCK, blocks[1], _BLOCK, blocks[2], _BLOCK
    ).any((2, 4, 6))
    table = filled.astype(jnp.int32).cumsum(1).cumsum(2).cumsum(3)
    table = jnp.pad(table, ((0, 0), (1, 0), (1, 0), (1, 0)))

    # A sample at index i reads cells floor(i) and floor(i) + 1; one more cell on either
    # side covers the rounding of the box.
    limit = jnp.array(blocks)
    low = jnp.floor((jnp.floor(middle - half) - 1) / _BLOCK)
    high = jnp.floor((jnp.floor(middle + half) + 2) / _BLOCK) + 1
    low = jnp.clip(low, 0, limit).astype(jnp.int32)
    high = jnp.clip(high, 0, limit).astype(jnp.int32)
    part = jnp.arange(num_parts)
    (y0, x0, z0), (y1, x1, z1) = jnp.moveaxis(low, -1, 0), jnp.moveaxis(high, -1, 0)
    inside = (
        table[part, y1, x1, z1]
        - table[part, y0, x1, z1]
        - table[part, y1, x0, z1]
        - table[part, y1, x1, z0]
        + table[part, y0, x0, z1]
        + table[part, y0, x1, z0]
        + table[part, y1, x0, z0]
        - table[part, y0, x0, z0]
    )
    return inside > 0


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
    plan = _Plan(masks, maps, tile)
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
    plan = _Plan(masks, maps, tile)
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
    return output[:height, :width, :depth], winner


@_per_platform
def _backward_volume(cotangent, masks, maps, winner, *, tile):
    """Gradient by the volume alone."""
    plan = _Plan(masks, maps, tile)
    channels = cotangent.shape[-1]
    flat_masks = masks.reshape(plan.num_parts, -1)
    cotangent = _pad_to_tiles(plan, cotangent)

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
    plan = _Plan(masks, maps, tile)
    flat_volume = volume.reshape(-1, volume.shape[-1])
    flat_masks = masks.reshape(plan.num_parts, -1)
    cotangent = _pad_to_tiles(plan, cotangent)

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


def _pad_to_tiles(plan, array):
    padding = [
        (0, n * t - size) for n, t, size in zip(plan.grid, plan.tile, plan.sizes)
    ]
    return jnp.pad(array, [*padding, (0, 0)])


def _scatter(by_volume, rows, weights, received):
    """Adds what the cells of a tile received to the eight corners that they read."""
    spread = weights[:, :, None] * received
    return by_volume.at[rows.reshape(-1)].add(
        spread.reshape(rows.size, -1), mode="promise_in_bounds"
    )
