"""Mapping over examples on one device and on several."""

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.geometry.warp import warp_parts
from volhuman.nn.parallel import DATA_AXIS, map_examples


def test_a_mesh_changes_nothing_but_the_place(key):
    volume = jax.random.normal(key, (8, 4, 4, 4, 2))
    masks = jnp.ones((8, 3, 4, 4, 4))
    maps = jnp.broadcast_to(jnp.eye(3, 4), (8, 3, 3, 4))
    maps = maps.at[:, :, :, 3].add(0.1 * jax.random.normal(key, (8, 3, 3)))

    @jax.jit
    def function(volume, masks, maps):
        def loss(volume):
            warped = map_examples(warp_parts, volume, masks, maps)
            return (warped**2).sum(), warped

        return jax.grad(loss, has_aux=True)(volume)

    alone = function(volume, masks, maps)
    mesh = jax.make_mesh((8,), (DATA_AXIS,), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.NamedSharding(mesh, jax.P(DATA_AXIS))
    with jax.set_mesh(mesh):
        many = function(*jax.device_put((volume, masks, maps), spread))
    for one, other in zip(alone, many, strict=True):
        assert len(other.sharding.device_set) == 8
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_inside_pmap_each_device_maps_its_own(key):
    volume = jax.random.normal(key, (8, 2, 4, 4, 4, 2))
    masks = jnp.ones((8, 2, 3, 4, 4, 4))
    maps = jnp.broadcast_to(jnp.eye(3, 4), (8, 2, 3, 3, 4))
    run = lambda *arrays: map_examples(warp_parts, *arrays)
    many = jax.pmap(run, axis_name=DATA_AXIS)(volume, masks, maps)
    np.testing.assert_allclose(many[3], run(volume[3], masks[3], maps[3]), atol=1e-6)
