"""Data parallelism: one batch over all devices of all hosts.

The state lies whole on every device, the batch is split along its leading axis. The
compiler inserts the sums over devices, so an update is written as for one device.
"""

import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from volhuman.errors import InputError
from volhuman.training.config import TrainOptions
from volhuman.training.task import Batch, Metrics, State

DATA_AXIS = "data"


def connect(options: TrainOptions) -> None:
    """Joins the other processes, if the options name a coordinator.

    It must come before anything that makes an array: call it first in a command. A
    process that waits in vain for another one is ended by JAX.
    """
    if options.coordinator and not jax.distributed.is_initialized():
        jax.distributed.initialize(
            options.coordinator, options.num_processes, options.process_id
        )


def loader_options(options: TrainOptions) -> dict[str, Any]:
    """Returns batch_size, seed and shard of this process for `make_loader`.

    Raises:
        InputError: If the processes cannot share a batch evenly.
    """
    count = jax.process_count()
    if options.batch_size % count:
        raise InputError(
            f"batch_size is {options.batch_size}, expected a multiple of the {count} "
            "processes"
        )
    return {
        "batch_size": options.batch_size // count,
        "seed": options.seed,
        "shard": (jax.process_index(), count),
    }


def make_mesh(num_devices: int = 0, *, local: bool = False) -> Mesh:
    """Makes a mesh with the one axis "data".

    Args:
        num_devices: Devices of every host, 0 for all.
        local: Only those of this host.

    Raises:
        InputError: If a host has fewer.
    """
    if num_devices > jax.local_device_count():
        raise InputError(
            f"num_devices is {num_devices}, expected at most the "
            f"{jax.local_device_count()} of this machine"
        )
    chosen: list[jax.Device] = []
    for process in [jax.process_index()] if local else range(jax.process_count()):
        devices = [d for d in jax.devices() if d.process_index == process]
        chosen += devices[: num_devices or None]
    return Mesh(np.array(chosen), (DATA_AXIS,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of arrays that lie whole on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of arrays whose leading axis is split over the devices."""
    return NamedSharding(mesh, PartitionSpec(DATA_AXIS))


def num_examples(batch: Batch) -> int:
    """Returns the length of the leading axis of a batch of numeric arrays.

    Raises:
        ValueError: If a field is not numeric or the lengths differ.
    """
    lengths = set()
    for path, value in jax.tree_util.tree_leaves_with_path(batch):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        dtype = np.asarray(value).dtype
        if dtype.kind in "OSUM" or not np.ndim(value):
            raise ValueError(
                f"field {name} of the batch is {dtype} {np.shape(value)}, expected "
                "numbers with a leading batch axis; leave it out in the transform"
            )
        lengths.add(np.shape(value)[0])
    if len(lengths) != 1:
        raise ValueError(f"the fields of a batch have the lengths {sorted(lengths)}")
    return lengths.pop()


def place_batch(batch: Batch, mesh: Mesh) -> Batch:
    """Places this process's part of a batch on its devices.

    A batch that the devices cannot share evenly lies whole on every one.
    """
    local_devices = len(mesh.local_devices)
    sharding = split(mesh)
    if num_examples(batch) % local_devices:
        sharding = replicated(mesh)
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), batch
    )


def to_local(tree: Any, mesh: Mesh) -> Any:
    """Views arrays that lie whole on all devices as arrays of this process alone.

    Nothing is copied. What is computed from them needs no other process.

    Args:
        tree: Tree of arrays.
        mesh: Mesh of this process, from `make_mesh(..., local=True)`.
    """
    if jax.process_count() == 1:
        return tree
    return jax.tree.map(
        lambda x: jax.make_array_from_single_device_arrays(
            x.shape, replicated(mesh), [shard.data for shard in x.addressable_shards]
        ),
        tree,
    )


def average(tree: Any, axis_name: str | None) -> Any:
    """Averages a tree over the devices of a mapped axis; returns it if there is none.

    Under `jax.jit` there is none: means over the batch are over all devices already.
    """
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def as_pmap(
    update: Callable[..., tuple[State, Metrics]],
) -> Callable[[State, Batch, jax.Array], tuple[State, Metrics]]:
    """Maps an update over devices with `jax.pmap`.

    Every device draws random numbers of its own, so the new state may depend on them
    through averages alone.

    Args:
        update: `update(state, batch, key, axis_name=None)` that gives gradients and
            metrics to `average`.

    Returns:
        Function of a state, a batch with the axes (device, example, ...) and a key. It
        returns the state and the metrics once, not once a device.
    """

    def on_device(state, batch, key):
        key = jax.random.fold_in(key, jax.lax.axis_index(DATA_AXIS))
        return update(state, batch, key, axis_name=DATA_AXIS)

    return jax.pmap(
        on_device,
        axis_name=DATA_AXIS,
        in_axes=(None, 0, None),
        out_axes=(None, None),
    )


def gather_json(value: Any) -> list[Any]:
    """Returns the value of every process, in order; JSON must be able to hold them."""
    if jax.process_count() == 1:
        return [value]
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    lengths = multihost_utils.process_allgather(np.int32(len(text)))
    padded = np.pad(text, (0, int(lengths.max()) - len(text)))
    texts = np.asarray(multihost_utils.process_allgather(padded))
    return [json.loads(row[:n].tobytes()) for row, n in zip(texts, lengths)]


def broadcast_arrays(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the arrays of the first process on every process.

    Args:
        arrays: By name; names, shapes and types are the same on all processes.
    """
    if jax.process_count() == 1:
        return arrays
    # As bytes: sums over processes would change the types of some.
    sent = {
        name: np.frombuffer(array.tobytes(), np.uint8) for name, array in arrays.items()
    }
    got = multihost_utils.broadcast_one_to_all(sent)
    return {
        name: np.asarray(got[name], np.uint8)
        .view(array.dtype)
        .reshape(array.shape)
        .copy()
        for name, array in arrays.items()
    }
