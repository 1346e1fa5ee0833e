"""Optimisers, schedules, parameter averages and mixed precision, over optax."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from volhuman.checks import check_option

SCHEDULES = ("constant", "linear", "cosine", "exponential")
DTYPES = ("float32", "bfloat16", "float16")


def learning_rate_schedule(
    name: str,
    peak: float,
    *,
    steps: int = 1,
    warmup: int = 0,
    end: float = 0.0,
    accumulate: int = 1,
) -> optax.Schedule:
    """Makes a learning rate that depends on the step.

    Args:
        name: "constant"; "linear", "cosine" or "exponential" from `peak` to `end`.
        peak: Highest rate, reached after the warm-up.
        steps: Step of the training at which `end` is reached, as in
            `TrainOptions.steps`.
        warmup: Steps of the training over which the rate rises linearly from 0.
        end: Rate at and after `steps`.
        accumulate: As in `adam`, which counts one where the training counts
            `accumulate` steps.

    Raises:
        ValueError: If the name is unknown or a number is out of range.
    """
    check_option("name", name, SCHEDULES)
    if accumulate < 1:
        raise ValueError(f"accumulate is {accumulate}, expected at least 1")
    if warmup < 0 or (name != "constant" and warmup >= steps):
        raise ValueError(f"warmup is {warmup}, expected 0 to {steps - 1} (the steps)")
    if not 0 <= end <= peak or (name == "exponential" and not end > 0):
        raise ValueError(f"end is {end}, expected between 0 and the peak {peak}")
    rise, length = warmup // accumulate, max((steps - warmup) // accumulate, 1)
    fall = {
        "constant": lambda: optax.constant_schedule(peak),
        "linear": lambda: optax.linear_schedule(peak, end, length),
        "cosine": lambda: optax.cosine_decay_schedule(peak, length, end / peak),
        "exponential": lambda: optax.exponential_decay(
            peak, length, end / peak, end_value=end
        ),
    }[name]()
    if not rise:
        return fall
    return optax.join_schedules([optax.linear_schedule(0.0, peak, rise), fall], [rise])


def adam(
    learning_rate: float | optax.Schedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    clip_norm: float = 0.0,
    accumulate: int = 1,
) -> optax.GradientTransformation:
    """Makes Adam; with decoupled weight decay, clipping and accumulation if wanted.

    Args:
        learning_rate: Rate or schedule.
        b1: Decay of the mean of the gradients.
        b2: Decay of the mean of their squares.
        eps: Added to the denominator.
        weight_decay: Decoupled weight decay (AdamW), times the rate; 0 for none.
        clip_norm: Largest norm of the gradients of all parameters together, after the
            accumulation; 0 for no limit.
        accumulate: Steps whose gradients are averaged into one update, which comes with
            the last of them; the updates of the others are 0.
    """
    chain = [optax.clip_by_global_norm(clip_norm)] if clip_norm else []
    chain.append(optax.scale_by_adam(b1, b2, eps))
    if weight_decay:
        chain.append(optax.add_decayed_weights(weight_decay))
    optimizer = optax.chain(*chain, optax.scale_by_learning_rate(learning_rate))
    if accumulate == 1:
        return optimizer
    return optax.MultiSteps(optimizer, accumulate).gradient_transformation()


def exponential_moving_average(
    average: Any, params: Any, *, decay: float, step: jax.Array | None = None
) -> Any:
    """Moves an average of parameters towards them by 1 - decay.

    Args:
        average: Tree of arrays; begins as a copy of the parameters.
        params: Tree of the same form.
        decay: Below 1.
        step: Number of steps before; where given, the decay is at most
            (1 + step) / (10 + step), so that the initial parameters are soon forgotten.
    """
    if not 0 <= decay < 1:
        raise ValueError(f"decay is {decay}, expected 0 or more and below 1")
    if step is not None:
        decay = jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda a, p: a + (1 - decay) * (p - a), average, params)


def cast_compute(tree: Any, dtype: str) -> Any:
    """Casts the floating arrays of a tree, parameters or inputs, for computing.

    Parameters stay float32 in the state. A loss that casts them as its first operation
    has float32 gradients again. float16 needs a scaled loss against underflow, bfloat16
    does not.

    Args:
        tree: Tree of arrays; integers, booleans and keys stay as they are.
        dtype: "float32", "bfloat16" or "float16".

    Raises:
        ValueError: If the type is another one.
    """
    check_option("dtype", dtype, DTYPES)
    return jax.tree.map(
        lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree
    )
