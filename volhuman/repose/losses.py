"""Losses of the reposing system."""

import jax
import jax.numpy as jnp

# Real pictures get this target: one-sided label smoothing of the published code.
_REAL_TARGET = 0.875


def generator_adversarial_loss(fake_logits: jax.Array) -> jax.Array:
    """Rewards pictures that pass as real: the non-saturating loss.

    Source: Goodfellow et al. 2014; Knoche et al., section 3.5.
    """
    return jax.nn.softplus(-fake_logits).mean()


def discriminator_loss(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """Cross entropy of real (target 0.875) and painted (target 0) pictures."""
    real = jax.nn.softplus(real_logits) - _REAL_TARGET * real_logits
    return (real + jax.nn.softplus(fake_logits)).mean()


def kernel_decay(params: dict, names: tuple[str, ...]) -> jax.Array:
    """Half the sum of squares of the kernels of some modules.

    The published code decays the kernels of its two image encoders only.

    Args:
        params: Parameters.
        names: Top-level modules.
    """
    kernels = [
        leaf
        for name in names
        for path, leaf in jax.tree_util.tree_leaves_with_path(params[name])
        if path[-1].key == "kernel"
    ]
    return 0.5 * sum(jnp.sum(kernel**2) for kernel in kernels)
