"""Warping of parts: golden volume, naive loops, the tile trick, ties and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from scipy.spatial.transform import Rotation

from volhuman.geometry import warp
from volhuman.geometry.sampling import sample_trilinear, view_grid
from volhuman.geometry.similarity import Similarity
from volhuman.geometry.warp import warp_parts

# No multiple of the tile of 8 or of the block of 4, and no two axes alike; every test
# that can uses these sizes, so that each function compiles once.
SIZES = (11, 9, 13)
NUM_PARTS, CHANNELS = 3, 2
WARP = jax.jit(warp_parts)


def affine_maps(generator, count, spread=0.4):
    """Random similarities near the identity, as `(P, 3, 4)`."""
    rotation = Rotation.from_rotvec(generator.normal(0, spread, (count, 3)))
    scale = np.exp(generator.normal(0, 0.2, (count, 1, 1)))
    shift = generator.normal(0, spread / 2, (count, 3, 1))
    return np.float32(np.concatenate([scale * rotation.as_matrix(), shift], axis=-1))


def blobs(generator, count, sizes=SIZES):
    """Soft balls of mask that leave most of the volume empty."""
    grid = np.asarray(view_grid(*sizes))
    centres = generator.uniform(-0.6, 0.6, (count, 1, 1, 1, 3))
    distance = np.linalg.norm(grid - centres, axis=-1)
    return np.float32(np.clip(1.6 - 3 * distance, 0, 1))


def example(seed=0, sizes=SIZES, parts=NUM_PARTS):
    generator = np.random.default_rng(seed)
    volume = generator.normal(size=(*sizes, CHANNELS)).astype(np.float32)
    return volume, blobs(generator, parts, sizes), affine_maps(generator, parts)


def by_loops(volume, masks, maps):
    """The definition in float64, one cell after the other, by SciPy."""
    height, width, depth, channels = volume.shape
    output = np.full(volume.shape, -np.inf)
    n = np.array([width, height, depth])
    for mask, map_ in zip(masks, maps):
        masked = np.float64(mask)[..., None] * volume
        index = np.zeros((3, height, width, depth))
        for i, j, k in np.ndindex(height, width, depth):
            target = (2 * np.array([j, i, k]) + 1) / n - 1
            x, y, z = np.float64(map_[:3, :3]) @ target + map_[:3, 3]
            index[:, i, j, k] = (
                ((y + 1) * height - 1) / 2,
                ((x + 1) * width - 1) / 2,
                ((z + 1) * depth - 1) / 2,
            )
        for channel in range(channels):
            moved = scipy.ndimage.map_coordinates(
                masked[..., channel], index, order=1, mode="grid-constant"
            )
            output[..., channel] = np.maximum(output[..., channel], moved)
    return output


def stacked_parts(volume, masks, maps):
    """The definition in JAX, all parts everywhere: `(P, H, W, D, C)`."""
    grid = view_grid(*volume.shape[:3])

    def one_part(mask, map_):
        points = grid @ map_[:3, :3].T + map_[:3, 3]
        return sample_trilinear(mask[..., None] * volume, points, "zero")

    return jax.vmap(one_part)(masks, maps)


def first_wins(volume, masks, maps):
    parts = stacked_parts(volume, masks, maps)
    winner = jax.lax.stop_gradient(parts.argmax(0))
    return jnp.take_along_axis(parts, winner[None], axis=0)[0]


def gradients_of(function):
    loss = lambda volume, masks, maps, factors: (
        function(volume, masks, maps) * factors
    ).sum()
    return jax.jit(jax.grad(loss, argnums=(0, 1, 2)))


GRADIENTS = gradients_of(warp_parts)
NAIVE_GRADIENTS = gradients_of(first_wins)


def test_equals_the_golden_volume_of_the_reposing_paper(shared):
    """Their grid is aligned at the corners and in pixels: S T S^-1, S = (n - 1)/256."""
    folder = shared / "golden" / "repose"
    small = np.load(folder / "small.npz")
    volume, masks = small["vol"][0], small["mask"][0].transpose(3, 0, 1, 2)
    expected, transforms = small["warp"][0], np.load(folder / "host.npz")["helmert"]
    height, width, depth = volume.shape[:3]
    size = np.array([width, height, depth])
    # From view coordinates to their pixels: index (n (x + 1) - 1)/2, times 256/(n - 1).
    pixel_from_view = np.eye(4)
    pixel_from_view[:3, :3] = np.diag(128 * size / (size - 1))
    pixel_from_view[:3, 3] = 128
    maps = np.linalg.inv(pixel_from_view) @ transforms @ pixel_from_view
    warped = WARP(volume, np.float32(masks), np.float32(maps))
    np.testing.assert_allclose(warped, expected, atol=2e-5)
    assert np.abs(expected).max() > 2


@pytest.mark.parametrize("rows", [3, 4])
def test_equals_naive_loops_in_a_volume_of_uneven_sizes(rows):
    volume, masks, maps = example()
    full = np.concatenate(
        [maps, np.tile(np.float32([[[0, 0, 0, 1]]]), (NUM_PARTS, 1, 1))], axis=1
    )
    warped = (WARP if rows == 3 else warp_parts)(volume, masks, full[:, :rows])
    expected = by_loops(volume, masks, maps)
    assert (expected != 0).mean() > 0.1, "the parts are visible"
    np.testing.assert_allclose(warped, expected, atol=1e-5)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (8, 16, 4), (3, 17, 2)])
def test_equals_naive_loops_at_other_sizes(sizes):
    volume, masks, maps = example(1, sizes)
    expected = by_loops(volume, masks, maps)
    np.testing.assert_allclose(WARP(volume, masks, maps), expected, atol=1e-5)


def test_identity_and_whole_voxel_shifts_are_exact():
    volume, _, _ = example()
    ones, eye = np.ones((1, *SIZES), np.float32), np.eye(4, dtype=np.float32)[None]
    np.testing.assert_allclose(WARP(volume, ones, eye), volume, atol=2e-6)
    shift = eye.copy()
    shift[0, :3, 3] = [0, 2 * 3 / SIZES[0], 0]  # y: three cells of the first axis
    expected = np.concatenate([volume[3:], np.zeros_like(volume[:3])])
    np.testing.assert_allclose(WARP(volume, ones, shift), expected, atol=5e-6)


def test_reads_at_the_inverse_of_the_motion():
    """A part moved by a `Similarity` arrives where the similarity takes it."""
    motion = Similarity(
        jnp.array([0.8]),
        jnp.asarray(Rotation.from_rotvec([[0.2, -0.4, 0.9]]).as_matrix(), jnp.float32),
        jnp.array([[0.1, 0.2, -0.15]]),
    )
    sizes = (24, 20, 22)
    grid = np.asarray(view_grid(*sizes))
    start = np.array([0.2, -0.1, 0.25])
    volume = np.float32(np.exp(-((grid - start) ** 2).sum(-1) / 0.05))[..., None]
    ones = np.ones((1, *sizes), np.float32)
    moved = np.asarray(WARP(volume, ones, motion.inverse().as_matrix()))
    centre = (moved * grid).reshape(-1, 3).sum(0) / moved.sum()
    expected = motion.apply(jnp.float32(start)[None, None])[0, 0]
    np.testing.assert_allclose(centre, expected, atol=5e-3)


def test_one_tile_of_the_whole_volume_equals_small_tiles():
    """Accelerators run the same code with one tile; its results are the same."""
    volume, masks, maps = example(2)
    # The second part covers everything: no tile may drop a negative value.
    masks[1] += 0.1
    index_maps = warp._index_maps(jnp.asarray(maps), SIZES)
    # Where nothing arrives all parts tie at 0, and which one then gets a gradient by
    # its empty mask is left open: send none there.
    cotangent = np.random.default_rng(3).normal(size=volume.shape)
    cotangent = np.float32(cotangent * (by_loops(volume, masks, maps) != 0))

    def every_function(volume, masks, maps, tile):
        def run(name, *arguments):
            return unwrapped(getattr(warp, name))(*arguments, tile=tile)

        output, winner = run("_forward_with_winner", volume, masks, maps)
        return {
            "forward": run("_forward", volume, masks, maps),
            "forward with winner": output,
            "by volume": run("_backward_volume", cotangent, masks, maps, winner),
            "by all": run("_backward", cotangent, masks, maps, winner, volume),
        }

    compiled = jax.jit(every_function, static_argnums=3)
    whole, *others = (
        compiled(volume, masks, index_maps, tile)
        for tile in (SIZES, (8, 8, 8), (4, 8, 5))
    )
    for other in others:
        for name, expected in whole.items():
            for one, two in zip(
                jax.tree.leaves(other[name]), jax.tree.leaves(expected)
            ):
                assert np.abs(two).max() > 0.1
                np.testing.assert_allclose(one, two, rtol=1e-5, atol=3e-5, err_msg=name)


def unwrapped(function):
    """The function that takes `tile`, below the choice by platform."""
    return function.fun.__closure__[0].cell_contents


@pytest.mark.parametrize("seed", [0, 4])
def test_gradients_equal_autodiff_of_the_definition(seed):
    volume, masks, maps = example(seed)
    # Where all parts tie at 0 no part is favoured by the warp: look elsewhere.
    factors = np.random.default_rng(5).normal(size=volume.shape)
    factors = np.float32(factors * (np.abs(by_loops(volume, masks, maps)) > 1e-6))
    computed = GRADIENTS(volume, masks, maps, factors)
    expected = NAIVE_GRADIENTS(volume, masks, maps, factors)
    for one, two in zip(computed, expected):
        assert np.abs(two).max() > 0.1
        np.testing.assert_allclose(one, two, atol=2e-5 * np.abs(two).max())


def test_gradient_by_the_maps_matches_finite_differences():
    volume, masks, maps = example(0)
    factors = np.random.default_rng(5).normal(size=volume.shape).astype(np.float32)
    direction = np.random.default_rng(6).normal(size=maps.shape)
    slope = (np.asarray(GRADIENTS(volume, masks, maps, factors)[2]) * direction).sum()
    step = 1e-5
    ends = [
        (by_loops(volume, masks, maps + sign * step * direction) * factors).sum()
        for sign in (1, -1)
    ]
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-3)


def test_gradient_by_the_volume_alone_is_the_same():
    """The shorter backward pass, taken when only the volume is differentiated."""
    volume, masks, maps = example(0)
    factors = np.random.default_rng(5).normal(size=volume.shape).astype(np.float32)
    alone = jax.jit(jax.grad(lambda v: (warp_parts(v, masks, maps) * factors).sum()))
    expected = GRADIENTS(volume, masks, maps, factors)[0]
    np.testing.assert_allclose(alone(volume), expected, atol=1e-5)


def test_the_first_of_two_equal_parts_wins_and_takes_the_whole_gradient():
    """Two equal parts: no value changes, and the second receives nothing."""
    volume, masks, maps = example(0)
    volume, masks, maps = np.abs(volume), masks[[0, 0, 1]], maps[[0, 0, 1]]
    factors = np.ones_like(volume)
    _, by_masks, by_maps = GRADIENTS(volume, masks, maps, factors)
    assert np.abs(by_masks[0]).max() > 0.1 and np.abs(by_maps[0]).max() > 0.1
    np.testing.assert_array_equal(by_masks[1], 0)
    np.testing.assert_array_equal(by_maps[1], 0)
    once = GRADIENTS(
        volume, masks * np.float32([1, 0, 1])[:, None, None, None], maps, factors
    )
    np.testing.assert_allclose(by_maps[0], once[2][0], rtol=1e-5, atol=1e-4)


def test_empty_masks_give_zeros_and_no_gradient():
    volume, masks, maps = example(0)
    empty = np.zeros_like(masks)
    np.testing.assert_array_equal(WARP(volume, empty, maps), 0)
    by_volume, _, by_maps = GRADIENTS(volume, empty, maps, np.ones_like(volume))
    np.testing.assert_array_equal(by_volume, 0)
    np.testing.assert_array_equal(by_maps, 0)


def test_negative_features_survive_where_every_part_covers():
    """The maximum is over the parts alone; only a part that misses a cell gives 0."""
    volume, masks, maps = example(0)
    volume = -np.abs(volume) - 0.1
    maps = maps * 0.3  # every part reads inside the cube everywhere
    full = np.ones_like(masks)
    warped = np.asarray(WARP(volume, full, maps))
    assert (warped < 0).all()
    np.testing.assert_allclose(warped, by_loops(volume, full, maps), atol=1e-5)
    full[2] = 0
    np.testing.assert_array_equal(WARP(volume, full, maps), 0)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("distance", [-3.0, 3.0, 1e9])
def test_a_part_outside_leaves_zeros_and_no_gradient(axis, distance):
    """Nothing wraps to the other side."""
    volume, _, maps = example(0)
    ones = np.ones((NUM_PARTS, *SIZES), np.float32)
    maps = np.tile(np.eye(3, 4, dtype=np.float32), (NUM_PARTS, 1, 1))
    maps[:, axis, 3] = distance
    np.testing.assert_array_equal(WARP(np.abs(volume), ones, maps), 0)
    gradients = GRADIENTS(np.abs(volume), ones, maps, np.ones_like(volume))
    assert all((np.asarray(g) == 0).all() for g in gradients)


def test_vmap_equals_a_loop_with_values_and_gradients():
    """Batched transforms, masks and volumes, plain and compiled."""
    examples = [example(seed) for seed in (7, 8)]
    batch = [np.stack(arrays) for arrays in zip(*examples)]
    expected = [WARP(*arguments) for arguments in examples]
    for function in (jax.vmap(warp_parts), jax.jit(jax.vmap(warp_parts))):
        np.testing.assert_allclose(function(*batch), np.stack(expected), atol=1e-5)
    shared_volume = jax.jit(jax.vmap(warp_parts, in_axes=(None, None, 0)))
    np.testing.assert_allclose(
        shared_volume(*examples[0][:2], batch[2])[1],
        WARP(*examples[0][:2], batch[2][1]),
        atol=1e-6,
    )
    factors = np.ones_like(batch[0])
    mapped = jax.jit(
        jax.grad(
            lambda *a: (jax.vmap(warp_parts)(*a) * factors).sum(), argnums=(0, 1, 2)
        )
    )(*batch)
    for number, arguments in enumerate(examples):
        single = GRADIENTS(*arguments, factors[0])
        for one, two in zip(mapped, single):
            np.testing.assert_allclose(one[number], two, atol=2e-5)


def test_is_equivariant_to_mirroring_volume_and_transforms():
    """Flipping an axis of volume, masks and maps flips the result."""
    volume, masks, maps = example(9)
    plain = np.asarray(WARP(volume, masks, maps))
    for axis, component in ((0, 1), (1, 0), (2, 2)):
        sign = np.ones(3, np.float32)
        sign[component] = -1
        flipped = maps * sign[:, None] * np.append(sign, 1)
        result = WARP(np.flip(volume, axis), np.flip(masks, axis + 1), flipped)
        np.testing.assert_allclose(np.flip(result, axis), plain, atol=1e-5)


def test_refuses_wrong_shapes_and_too_many_parts():
    volume, masks, maps = example(0)
    with pytest.raises(ValueError, match="masks has shape"):
        warp_parts(volume, masks[:, :-1], maps)
    with pytest.raises(ValueError, match="source_from_target has shape"):
        warp_parts(volume, masks, maps[:2])
    with pytest.raises(ValueError, match="128 parts, expected at most 127"):
        warp_parts(
            np.zeros((2, 2, 2, 1)), np.zeros((128, 2, 2, 2)), np.zeros((128, 3, 4))
        )


def test_127_parts_keep_their_numbers():
    """The last part that int8 can name wins where it should, and gets its gradient."""
    parts = 127
    volume = np.ones((2, 2, 2, 1), np.float32)
    masks = np.linspace(0.1, 0.9, parts, dtype=np.float32)[:, None, None, None]
    masks = np.tile(masks, (1, 2, 2, 2))
    maps = np.tile(np.eye(3, 4, dtype=np.float32), (parts, 1, 1))
    loss = lambda masks: warp_parts(volume, masks, maps).sum()
    gradient = np.asarray(jax.jit(jax.grad(loss))(masks))
    np.testing.assert_allclose(gradient[-1], 1, atol=1e-6)
    np.testing.assert_array_equal(gradient[:-1], 0)
