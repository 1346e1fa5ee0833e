"""Tables of networks: modules, shapes, numbers of parameters."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax

_COLUMNS = ("module", "class", "output", "parameters")


def describe(networks: Mapping[str, tuple[nn.Module, Sequence[Any]]]) -> str:
    """Describes Flax modules without computing anything.

    Args:
        networks: Name to a module and the positional arguments of its call: arrays or
            `jax.ShapeDtypeStruct`, alone or in trees; what is neither (a flag, None) is
            passed as it is.

    Returns:
        One table a network, with a line for every call of a submodule: its path, class,
        shape of the output (float32 unless said) and the number of parameters in it and
        below; closed by a line `parameters: N`.
    """
    return "\n\n".join(
        _describe(name, module, inputs) for name, (module, inputs) in networks.items()
    )


def count_parameters(params: Any) -> int:
    """Returns the number of numbers in a tree of arrays, abstract or not."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def _describe(name: str, module: nn.Module, inputs: Sequence[Any]) -> str:
    calls: list[list[str]] = []
    paths: list[tuple[str, ...]] = []

    def record(call, args, kwargs, context):
        if context.method_name != "__call__":
            return call(*args, **kwargs)
        # Noted before the call, so that a module stands above its own submodules.
        row = ["/".join(context.module.path) or name, type(context.module).__name__]
        calls.append(row)
        paths.append(context.module.path)
        output = call(*args, **kwargs)
        row.append(" ".join(_shape(leaf) for leaf in jax.tree.leaves(output)))
        return output

    leaves, tree = jax.tree.flatten(list(inputs))
    is_array = [hasattr(leaf, "shape") for leaf in leaves]

    def init(key, arrays):
        arrays = iter(arrays)
        filled = [
            next(arrays) if array else leaf for leaf, array in zip(leaves, is_array)
        ]
        keys = {"params": key, "dropout": key}
        return module.init(keys, *jax.tree.unflatten(tree, filled))

    with nn.intercept_methods(record):
        arrays = [leaf for leaf, array in zip(leaves, is_array) if array]
        variables = jax.eval_shape(init, jax.random.key(0), arrays)
    params = variables.get("params", {})
    for row, path in zip(calls, paths):
        row.append(f"{count_parameters(_below(params, path)):,}")
    total = f"parameters: {count_parameters(params)}"
    return "\n".join([name, _table([list(_COLUMNS), *calls]), total])


def _below(params: Mapping[str, Any], path: Sequence[str]) -> Any:
    for part in path:
        params = params.get(part, {})
    return params


def _shape(leaf) -> str:
    size = "x".join(map(str, leaf.shape)) or "scalar"
    return size if leaf.dtype == "float32" else f"{size}:{leaf.dtype}"


def _table(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = []
    for *words, number in rows:
        left = "  ".join(word.ljust(width) for word, width in zip(words, widths))
        lines.append(f"{left}  {number.rjust(widths[-1])}")
    return "\n".join(lines)
