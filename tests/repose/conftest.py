"""A tiny reposing network and two poses."""

import dataclasses

import jax
import numpy as np
import pytest

from volhuman.body.pose_sampler import posed_joints, sample_pose
from volhuman.body.template import load_template
from volhuman.repose.config import SMALL
from volhuman.repose.forward import init_generator

TINY = dataclasses.replace(
    SMALL,
    image_size=32,
    depth=8,
    channels=4,
    pose_channels=4,
    root=8,
    encoder=((16, 4, 1, 1, 1),),
    decoder=((16, 4, True), (8, 4, True)),
    background=((3, 4), (3, 8)),
    critic=((8, 4, 1, 2, 1),),
    critic_slices=4,
)


@pytest.fixture(scope="session")
def network():
    return TINY


@pytest.fixture(scope="session")
def params(network):
    return jax.jit(lambda key: init_generator(network, key))(jax.random.key(1))


@pytest.fixture(scope="session")
def joints():
    """Joints `(3, 24, 3)` of three poses in pixels of a picture of 32."""
    rest = np.asarray(load_template().joints, np.float64)
    generator = np.random.default_rng(0)
    poses = [
        posed_joints(sample_pose(generator, rest, kind), rest)
        for kind in ("stand", "walk", "arms")
    ]
    # Upright bodies face the camera: x to the right, y down, z away.
    view = np.stack(poses) * [1, -1, -1] * 14 + [16, 16, 0]
    return view.astype(np.float32)
