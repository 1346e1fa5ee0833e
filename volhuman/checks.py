"""Argument checks that run once, while JAX traces, and cost nothing after that."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp


def check_shape(name: str, x: jax.Array, pattern: str, **sizes: int) -> dict[str, int]:
    """Checks the shape of an array against a pattern and returns the sizes it binds.

    Args:
        name: Name of the argument, for the message.
        x: Array, any dtype.
        pattern: Space separated axes: a number fixes the size, a word binds it (and
            must agree with `sizes`), a leading `...` allows any leading axes.
        **sizes: Sizes bound by earlier checks.

    Returns:
        `sizes` extended by the axes that this pattern names.

    Raises:
        ValueError: If rank or sizes disagree.
    """
    axes = pattern.split()
    leading = bool(axes) and axes[0] == "..."
    axes = axes[leading:]
    shape = jnp.shape(x)
    fits = len(shape) >= len(axes) if leading else len(shape) == len(axes)
    bound = dict(sizes)
    for axis, size in zip(axes, shape[len(shape) - len(axes) :] if fits else ()):
        expected = int(axis) if axis.isdigit() else bound.setdefault(axis, size)
        fits = fits and expected == size
    if not fits:
        known = ", ".join(f"{axis}={size}" for axis, size in sizes.items())
        raise ValueError(
            f"{name} has shape {shape}, expected ({pattern.replace(' ', ', ')})"
            + (f" with {known}" if known else "")
        )
    return bound


def check_option(name: str, value: str, allowed: Sequence[str]) -> None:
    """Checks that an option is one of the allowed words.

    Raises:
        ValueError: If it is not; the message lists the allowed words.
    """
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(allowed)}")
