"""Mapping over the examples of a batch that is spread over devices."""

from collections.abc import Callable

import jax

DATA_AXIS = "data"


def map_examples(function: Callable[..., jax.Array], *arrays: jax.Array) -> jax.Array:
    """Applies a function of one example to each example of a batch.

    Functions that run example by example (`geometry.warp_parts`) would otherwise see
    the whole batch on every device: under a mesh with the axis "data" (`jax.set_mesh`)
    each device maps over its own examples.

    Args:
        function: Takes one example of each array.
        arrays: `(B, ...)`; with a mesh B is a multiple of its devices.

    Returns:
        `(B, ...)`.
    """
    mapped = jax.vmap(function)
    mesh = jax.sharding.get_abstract_mesh()
    if DATA_AXIS not in mesh.axis_names or mesh.shape[DATA_AXIS] == 1:
        return mapped(*arrays)
    if DATA_AXIS in mesh.manual_axes:  # already inside a shard_map
        return mapped(*arrays)
    spec = jax.P(DATA_AXIS)
    # Loops inside begin with constants, which the check of varying axes refuses.
    return jax.shard_map(
        mapped,
        mesh=mesh,
        in_specs=(spec,) * len(arrays),
        out_specs=spec,
        check_vma=False,
    )(*arrays)
