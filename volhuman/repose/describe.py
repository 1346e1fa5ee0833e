"""Prints the reposing networks: modules, output shapes, parameters."""

import jax
import jax.numpy as jnp

from volhuman.repose.config import ReposeConfig, network_of
from volhuman.repose.model import Discriminator, Generator
from volhuman.repose.parts import NUM_PARTS, find_joint_set
from volhuman.training.describe import describe


def describe_networks(config: ReposeConfig) -> str:
    """Describes generator and discriminator of a configuration; computes nothing."""
    network = network_of(config)
    side, shape = network.image_size, network.volume_shape
    joints = len(find_joint_set(network.joint_set).names)
    of = lambda *axes: jax.ShapeDtypeStruct(axes, jnp.float32)
    picture = of(1, side, side, 3)
    return describe(
        {
            "generator": (
                Generator(network),
                (
                    of(1, 1, side, side, 3),
                    of(1, 1, NUM_PARTS, *shape),
                    of(1, 1, NUM_PARTS, 3, 4),
                    of(1, *shape, joints),
                    of(1, side, side, 1),
                ),
            ),
            "discriminator": (
                Discriminator(network),
                (picture, picture, of(1, side, side, network.critic_slices, joints)),
            ),
        }
    )
