"""Adam with a decaying rate that gives the best point it came by."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import optax

Tree = TypeVar("Tree")

# The rate ends at this share of where it began.
_LAST_RATE = 0.05


def minimise(
    loss: Callable[[Tree], jax.Array], start: Tree, steps: int, learning_rate: float
) -> tuple[Tree, jax.Array]:
    """Minimises a function; pure.

    Args:
        loss: Function of a tree of arrays, one number.
        start: Where it begins.
        steps: Number of steps.
        learning_rate: Adam's rate at the start; it falls by a cosine to a twentieth.

    Returns:
        The best point and its loss: infinite, and the start, where none was finite.
    """
    schedule = optax.cosine_decay_schedule(learning_rate, steps, alpha=_LAST_RATE)
    optimiser = optax.adam(schedule)

    def step(carry, _):
        point, state, best, least = carry
        value, gradient = jax.value_and_grad(loss)(point)
        best = _choose(value < least, point, best)
        updates, state = optimiser.update(gradient, state, point)
        point = optax.apply_updates(point, updates)
        return (point, state, best, jnp.where(value < least, value, least)), None

    carry = (start, optimiser.init(start), start, jnp.inf)
    (last, _, best, least), _ = jax.lax.scan(step, carry, length=steps)
    value = loss(last)
    best = _choose(value < least, last, best)
    return best, jnp.where(value < least, value, least)


def _choose(condition, new, old):
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
