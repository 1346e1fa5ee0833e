"""Tiles of a volume and which parts reach them, for the warp of `geometry.warp`."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

# Side of the blocks in which a mask is tested for being empty.
_BLOCK = 4


class TilePlan:
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

    def pad(self, array):
        """Pads the spatial axes of an array to whole tiles."""
        padding = [
            (0, n * t - size) for n, t, size in zip(self.grid, self.tile, self.sizes)
        ]
        return jnp.pad(array, [*padding, (0, 0)])

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
        start = (*origin, jnp.zeros_like(origin[0]))
        window = jax.lax.dynamic_slice(buffer, start, (*self.tile, channels))
        return window.reshape(-1, channels)

    def write(self, buffer, rows, origin):
        window = rows.reshape(*self.tile, rows.shape[-1])
        start = (*origin, jnp.zeros_like(origin[0]))
        return jax.lax.dynamic_update_slice(buffer, window, start)

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
