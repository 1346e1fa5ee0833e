"""A Gaussian over poses, fitted to the package's own pose sampler.

It knows which way arms hang and knees bend; it was made without motion capture.
"""

import dataclasses
import functools
from importlib import resources

import jax
import jax.numpy as jnp
import numpy as np


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PosePrior:
    """Mean and whitening of the 69 axis-angle numbers of the joints below the root.

    Attributes:
        mean: `(69,)` radians.
        whitening: `(69, 69)`; the whitened deviation has unit covariance.
    """

    mean: jax.Array
    whitening: jax.Array


def fit_pose_prior(poses: np.ndarray, *, floor: float = 0.15) -> PosePrior:
    """Fits the prior to poses.

    Args:
        poses: `(N, 24, 3)` axis-angle; the root is left out.
        floor: Deviation in radians added to every direction, so that poses outside the
            sampler's ranges are unlikely but not impossible.

    Returns:
        The prior.
    """
    flat = np.asarray(poses, np.float64)[:, 1:].reshape(len(poses), -1)
    covariance = np.cov(flat.T) + floor**2 * np.eye(flat.shape[1])
    whitening = np.linalg.inv(np.linalg.cholesky(covariance))
    return PosePrior(
        jnp.asarray(flat.mean(0), jnp.float32), jnp.asarray(whitening, jnp.float32)
    )


@functools.cache
def load_pose_prior() -> PosePrior:
    """Loads the shipped prior (`experiments/make_pose_prior.py` makes it)."""
    path = resources.files("volhuman") / "assets" / "pose_prior.npz"
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        # Loaded while a caller may be tracing: the cache must hold plain arrays.
        return PosePrior(archive["mean"], archive["whitening"])


def prior_energy(prior: PosePrior, pose: jax.Array) -> jax.Array:
    """Mean squared whitened deviation of a pose `(23, 3)`: about 1 for likely poses."""
    deviation = pose.reshape(-1) - prior.mean
    whitened = jnp.matmul(prior.whitening, deviation, precision="highest")
    return (whitened**2).mean()
