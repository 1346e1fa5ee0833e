"""Voxels of closed meshes: volumes, winding numbers, unions, borders; their codes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trimesh

from volhuman.geometry.sampling import view_grid
from volhuman.geometry.voxelize import semantic_volume, voxelize

SIZES = (20, 24, 16)
VOXELIZE = {
    sizes: jax.jit(functools.partial(voxelize, shape=sizes))
    for sizes in (SIZES, (64, 64, 64), (12, 10, 14))
}


def inside(mesh, sizes=SIZES):
    vertices, faces = np.float32(mesh.vertices), np.int32(mesh.faces)
    return np.asarray(VOXELIZE[sizes](vertices, faces))


def turned(mesh, seed=0, shift=(0.013, -0.027, 0.021)):
    """Off the lattice, so that no voxel centre lies on the surface."""
    mesh = mesh.copy()
    matrix = trimesh.transformations.random_rotation_matrix(
        np.random.default_rng(seed).uniform(size=3)
    )
    mesh.apply_transform(matrix)
    mesh.apply_translation(shift)
    return mesh


def boxes():
    one = turned(trimesh.creation.box((0.9, 0.7, 1.0)), 1)
    two = turned(trimesh.creation.box((0.5, 1.3, 0.6)), 2, (0.3, 0.2, -0.1))
    return one, two


MESHES = {
    "torus": turned(trimesh.creation.torus(0.6, 0.25, 24, 16)),
    "box": boxes()[0],
    "rough sphere": turned(trimesh.creation.icosphere(subdivisions=2, radius=0.8), 3),
}
MESHES["rough sphere"].vertices *= np.random.default_rng(0).uniform(0.6, 1.1, (162, 1))


@pytest.mark.parametrize("name", MESHES)
def test_the_number_of_voxels_is_the_volume_of_the_mesh(name):
    """Within 0.5 %, or what the faces of a coarse box let through."""
    volume = inside(MESHES[name], (64, 64, 64)).sum() * (2 / 64) ** 3
    np.testing.assert_allclose(volume, MESHES[name].volume, rtol=5e-3)


@pytest.mark.parametrize("name", MESHES)
def test_voxels_equal_the_ray_test_of_trimesh(name):
    mesh = MESHES[name]
    centres = np.asarray(view_grid(*SIZES)).reshape(-1, 3)
    expected = mesh.contains(centres).reshape(SIZES)
    assert 0.02 < expected.mean() < 0.6
    np.testing.assert_array_equal(inside(mesh), expected)


@pytest.mark.parametrize("name", [*MESHES, "two boxes"])
def test_voxels_equal_the_winding_number_of_igl(name):
    igl = pytest.importorskip("igl")
    mesh = MESHES.get(name) or trimesh.util.concatenate(boxes())
    centres = np.float64(view_grid(*SIZES)).reshape(-1, 3)
    winding = igl.winding_number(np.float64(mesh.vertices), mesh.faces, centres)
    expected = (np.abs(winding) > 0.5).reshape(SIZES)
    np.testing.assert_array_equal(inside(mesh), expected)


def test_plain_equals_jit_and_axes_are_y_x_z():
    """A slab that is thin along y, off centre along x, and long along z."""
    box = trimesh.creation.box((0.82, 0.32, 1.62))
    box.apply_translation((0.4, -0.6, 0.1))
    y, x, z = np.meshgrid(
        *[(2 * np.arange(n) + 1) / n - 1 for n in SIZES], indexing="ij"
    )
    expected = (np.abs(x - 0.4) < 0.41) & (np.abs(y + 0.6) < 0.16)
    expected &= np.abs(z - 0.1) < 0.81
    np.testing.assert_array_equal(inside(box), expected)
    plain = voxelize(np.float32(box.vertices), np.int32(box.faces), SIZES)
    np.testing.assert_array_equal(plain, expected)
    assert plain.dtype == bool


def test_faces_through_voxel_centres_are_counted_once():
    """A box whose edges and faces pass exactly through columns and centres."""
    for size in (0.5, 1.0, 1.5):
        box = trimesh.creation.box((size,) * 3)
        # 8 voxels of 0.25: centres at odd eighths; planes at 0.125, 0.375, 0.625...
        box.vertices = np.sign(box.vertices) * (size / 2 + 0.125)
        result = np.asarray(voxelize(np.float32(box.vertices), box.faces, (8, 8, 8)))
        counts = {int(n) for n in result.sum((0, 1))} | {0}
        side = round(size / 0.25) + 1  # one of the two faces belongs to the inside
        assert result.sum() == side**3 and counts == {0, side**2}


def test_overlapping_closed_parts_give_their_union():
    one, two = boxes()
    union = inside(one) | inside(two)
    assert (inside(one) & inside(two)).sum() > 20
    both = trimesh.util.concatenate([one, two])
    np.testing.assert_array_equal(inside(both), union)
    twice = trimesh.util.concatenate([one, one])
    np.testing.assert_array_equal(inside(twice), inside(one))


def figure_eight(radius=0.22, steps=40, sides=12):
    """A closed tube along an eight: it passes through itself at the origin."""
    t = np.arange(steps) * 2 * np.pi / steps
    centre = np.stack([0.6 * np.cos(t), 0.5 * np.sin(2 * t), 0 * t], axis=-1)
    across = np.stack([-np.cos(2 * t), -0.6 * np.sin(t), 0 * t], axis=-1)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    angle = np.arange(sides)[:, None] * 2 * np.pi / sides
    ring = np.cos(angle) * across[:, None] + np.sin(angle) * np.eye(3)[2]
    vertices = (centre[:, None] + radius * ring).reshape(-1, 3)
    numbers = np.arange(steps * sides).reshape(steps, sides)
    a, b = numbers, np.roll(numbers, -1, 0)
    c, d = np.roll(b, -1, 1), np.roll(a, -1, 1)
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])
    return trimesh.Trimesh(vertices, faces.reshape(-1, 3), process=False)


def test_a_surface_that_passes_through_itself_is_filled():
    """Where the tube lies in itself the parity of crossings would leave a hole."""
    tube = turned(figure_eight())
    centres = np.asarray(view_grid(*SIZES)).reshape(-1, 3)
    parity = tube.contains(centres).reshape(SIZES)
    untouched = turned(figure_eight())
    local = (centres - untouched.vertices.mean(0)).reshape(*SIZES, 3)
    middle = np.linalg.norm(local, axis=-1) < 0.1
    filled = inside(tube)
    assert filled[middle].all() and not parity[middle].any()
    assert not (parity & ~filled).any()


def test_turning_all_faces_inside_out_changes_nothing():
    mesh = MESHES["torus"]
    flipped = trimesh.Trimesh(mesh.vertices, mesh.faces[:, ::-1], process=False)
    np.testing.assert_array_equal(inside(flipped), inside(mesh))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_mesh_beyond_the_box_is_clipped(axis, side):
    """Half outside, larger than the box, and wholly outside."""
    mesh = MESHES["rough sphere"].copy()
    mesh.apply_translation(side * np.eye(3)[axis])
    centres = np.asarray(view_grid(*SIZES)).reshape(-1, 3)
    expected = mesh.contains(centres).reshape(SIZES)
    assert expected.any()
    np.testing.assert_array_equal(inside(mesh), expected)
    mesh.apply_translation(2 * side * np.eye(3)[axis])
    assert not inside(mesh).any()
    mesh.apply_translation(-3 * side * np.eye(3)[axis])
    mesh.apply_scale(10)
    assert inside(mesh).all()


def test_a_box_of_its_own_moves_the_lattice():
    mesh = MESHES["torus"]
    low, high = np.array([-0.9, -0.5, -0.3]), np.array([0.7, 0.8, 0.9])
    unit = mesh.copy()
    unit.vertices = (mesh.vertices - low) / (high - low) * 2 - 1
    expected = inside(unit)
    result = voxelize(
        np.float32(mesh.vertices),
        np.int32(mesh.faces),
        SIZES,
        box=(np.float32(low), np.float32(high)),
    )
    np.testing.assert_array_equal(result, expected)


def test_vmap_equals_a_loop():
    mesh = MESHES["torus"]
    batch = np.stack([mesh.vertices, 0.7 * mesh.vertices, mesh.vertices + 0.4])
    batch = batch.astype(np.float32)
    sizes = (12, 10, 14)
    faces = np.int32(mesh.faces)
    run = functools.partial(voxelize, shape=sizes)
    mapped = jax.jit(jax.vmap(run, in_axes=(0, None)))(batch, faces)
    for vertices, result in zip(batch, mapped):
        np.testing.assert_array_equal(result, VOXELIZE[sizes](vertices, faces))
        assert result.any()


def test_occupancy_has_no_gradient():
    mesh = MESHES["box"]
    loss = lambda v: voxelize(v, np.int32(mesh.faces), (4, 4, 4)).astype(float).sum()
    gradient = jax.grad(loss)(jnp.float32(mesh.vertices))
    np.testing.assert_array_equal(gradient, 0)


def naive_codes(occupancy, vertices, codes, rule, deviation):
    result = np.zeros((*occupancy.shape, codes.shape[1]))
    height, width, depth = occupancy.shape
    n = np.array([width, height, depth])
    for i, j, k in np.argwhere(occupancy):
        centre = (2 * np.array([j, i, k]) + 1) / n - 1
        squared = ((np.float64(vertices) - centre) ** 2).sum(1)
        weights = np.exp(-squared / deviation**2)
        if rule == "nearest":
            weights[np.argsort(squared)[4:]] = 0
        result[i, j, k] = weights @ codes / (weights.sum() + 1e-10)
    return result


@pytest.fixture(scope="module")
def coded():
    generator = np.random.default_rng(0)
    vertices = generator.uniform(-0.8, 0.8, (60, 3)).astype(np.float32)
    codes = generator.uniform(size=(60, 3)).astype(np.float32)
    occupancy = generator.uniform(size=(12, 10, 14)) < 0.5  # more than one chunk
    return occupancy, vertices, codes


@pytest.mark.parametrize(
    "rule,deviation", [("gaussian", 0.1), ("nearest", 0.1), ("gaussian", 0.4)]
)
def test_codes_equal_a_naive_average_and_are_zero_outside(
    variant, coded, rule, deviation
):
    occupancy = coded[0]
    run = variant(functools.partial(semantic_volume, rule=rule, deviation=deviation))
    volume = np.asarray(run(*map(jnp.asarray, coded)))
    expected = naive_codes(*coded, rule, deviation)
    np.testing.assert_allclose(volume, expected, atol=5e-5)
    np.testing.assert_array_equal(volume[~occupancy], 0)
    assert np.abs(volume[occupancy]).max() > 0.5


def test_the_two_rules_differ(coded):
    results = [semantic_volume(*coded, rule=rule) for rule in ("gaussian", "nearest")]
    assert np.abs(results[0] - results[1]).max() > 1e-3


def test_far_from_every_vertex_and_for_an_empty_body_codes_are_zero(coded):
    occupancy, vertices, codes = coded
    for rule in ("gaussian", "nearest"):
        far = semantic_volume(occupancy, vertices + 50, codes, rule=rule)
        none = semantic_volume(occupancy & False, vertices, codes, rule=rule)
        np.testing.assert_array_equal(far, 0)
        np.testing.assert_array_equal(none, 0)
    full = semantic_volume(occupancy | True, vertices, codes)
    expected = naive_codes(occupancy | True, vertices, codes, "gaussian", 0.1)
    np.testing.assert_allclose(full, expected, atol=5e-5)


@pytest.mark.parametrize("rule", ["gaussian", "nearest"])
def test_vmapped_codes_equal_a_loop_and_have_no_gradient(coded, rule):
    occupancy, vertices, codes = coded
    batch = np.stack([occupancy, np.roll(occupancy, 3, 1)])
    people = np.stack([vertices, vertices * 0.8])
    run = functools.partial(semantic_volume, rule=rule)
    mapped = jax.jit(jax.vmap(run, in_axes=(0, 0, None)))(batch, people, codes)
    for number in range(2):
        expected = naive_codes(batch[number], people[number], codes, rule, 0.1)
        np.testing.assert_allclose(mapped[number], expected, atol=5e-5)
    gradient = jax.grad(lambda v: run(occupancy, v, codes).sum())(jnp.asarray(vertices))
    np.testing.assert_array_equal(gradient, 0)


def test_says_what_is_wrong(coded):
    with pytest.raises(ValueError, match="rule is 'mean', expected one of gaussian"):
        semantic_volume(*coded, rule="mean")
    with pytest.raises(ValueError, match="codes has shape"):
        semantic_volume(coded[0], coded[1], coded[2][:-1])
    with pytest.raises(ValueError, match="faces has shape"):
        voxelize(jnp.zeros((4, 3)), jnp.zeros((4, 4), int), SIZES)
