"""A state as NumPy arrays by name, and back: what checkpoints hold.

Names are paths such as "generator/Conv_0/kernel" or "optimizer/0/count", so a file does
not depend on the classes of optimisers and records.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from volhuman.errors import InputError
from volhuman.training.task import State

_SHOWN = 5


def _is_key(x) -> bool:
    return jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)


def _key_impl(key):
    """The kind of generator of keys that may be abstract, which JAX alone refuses."""
    impl = []
    jax.eval_shape(lambda key: impl.append(jax.random.key_impl(key)), key)
    return impl[0]


def _by_name(state: State) -> dict[str, Any]:
    pairs = jax.tree_util.tree_leaves_with_path(state)
    named = {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in pairs
    }
    if len(named) != len(pairs):
        raise ValueError("two arrays of the state have the same path; rename one")
    return named


def signature(state: State) -> dict[str, str]:
    """Returns type and shape of every array by name; the state may be abstract."""
    return {
        name: f"{leaf.dtype}{list(leaf.shape)}"
        for name, leaf in _by_name(state).items()
    }


def to_arrays(state: State) -> dict[str, np.ndarray]:
    """Copies a state, whole on every device, to this host; keys as their words.

    On a CPU the arrays are views of the state: use them before it is given away.
    """
    words = {
        name: jax.random.key_data(leaf) if _is_key(leaf) else leaf
        for name, leaf in _by_name(state).items()
    }
    return jax.tree.map(np.asarray, jax.device_get(words))


def empty_arrays(like: State) -> dict[str, np.ndarray]:
    """Makes zeros of the names, shapes and types that `to_arrays` gives."""
    words = jax.eval_shape(
        lambda state: {
            name: jax.random.key_data(leaf) if _is_key(leaf) else leaf
            for name, leaf in _by_name(state).items()
        },
        like,
    )
    return {name: np.zeros(x.shape, x.dtype) for name, x in words.items()}


def from_arrays(arrays: Mapping[str, np.ndarray], like: State) -> State:
    """Puts arrays into the form of a state; the inverse of `to_arrays`.

    Args:
        arrays: By name.
        like: State or abstract state of the same signature.

    Returns:
        The state; NumPy arrays, and keys on the default device.
    """
    leaves = [
        jax.random.wrap_key_data(arrays[name], impl=_key_impl(leaf))
        if _is_key(leaf)
        else arrays[name]
        for name, leaf in _by_name(like).items()
    ]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def first_not_finite(arrays: Mapping[str, np.ndarray]) -> str:
    """Returns the name of the first array with NaN or infinity; empty for none."""
    for name, array in arrays.items():
        floating = jax.numpy.issubdtype(array.dtype, jax.numpy.floating)
        if floating and not np.isfinite(array).all():
            return name
    return ""


def check_same(place: str, stored: Mapping[str, str], model: Mapping[str, str]) -> None:
    """Compares what a file holds with what a model needs.

    Args:
        place: Where the arrays come from, for the message.
        stored: Type and shape by name, as in `signature`.
        model: The same of the model.

    Raises:
        InputError: Listing what is only in the file, only in the model, or different.
    """
    both = [name for name in stored if name in model]
    parts = (
        ("only in the file", [name for name in stored if name not in model]),
        ("only in the model", [name for name in model if name not in stored]),
        (
            "different",
            [
                f"{name} ({stored[name]} in the file, {model[name]} in the model)"
                for name in both
                if stored[name] != model[name]
            ],
        ),
    )
    found = "; ".join(
        f"{what}: {', '.join(names[:_SHOWN])}"
        + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        for what, names in parts
        if names
    )
    if found:
        raise InputError(
            f"{place} belongs to another model ({found}); give the options it was "
            "trained with"
        )
