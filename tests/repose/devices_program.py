"""Trains a tiny reposing network on noise; for tests of devices and processes.

`python devices_program.py '{"workdir": ..., "steps": ..., "batch_size": ...}'`
"""

import dataclasses
import json
import sys

import numpy as np

from volhuman.body.pose_sampler import posed_joints, sample_pose
from volhuman.body.template import load_template
from volhuman.repose import task as task_module
from volhuman.repose.config import SMALL, ReposeConfig
from volhuman.training import parallel
from volhuman.training.config import TrainOptions
from volhuman.training.loop import train

SIZE = 16
NETWORK = dataclasses.replace(
    SMALL,
    image_size=SIZE,
    depth=4,
    channels=4,
    pose_channels=4,
    root=4,
    encoder=((8, 4, 1, 1, 1),),
    decoder=((8, 4, True), (8, 4, True)),
    background=((3, 4), (3, 8)),
    critic=((8, 4, 1, 2, 1),),
    critic_slices=2,
)


class Pairs:
    """Batches of noise and real poses that are a function of their number."""

    def __init__(self, batch_size, *, seed, shard):
        self.size, self.seed, self.shard, self.number = batch_size, seed, shard, 0
        rest = np.asarray(load_template().joints, np.float64)
        generator = np.random.default_rng(0)
        poses = [
            posed_joints(sample_pose(generator, rest, kind), rest)
            for kind in ("stand", "walk", "arms", "stand")
        ]
        view = np.stack(poses) * [1, -1, -1] * 0.4 + [0.5, 0.5, 0]
        self.poses = (view * SIZE).astype(np.float32)

    def __next__(self):
        generator = np.random.default_rng([self.seed, self.number])
        self.number += 1
        count = self.size * self.shard[1]
        pictures = (count, SIZE, SIZE, 3)
        batch = {
            "image_source": generator.integers(0, 256, pictures, np.uint8),
            "image_target": generator.integers(0, 256, pictures, np.uint8),
            "mask_target": generator.integers(0, 256, pictures[:3], np.uint8),
            "joints_source": self.poses[generator.integers(0, 4, count)],
            "joints_target": self.poses[generator.integers(0, 4, count)],
        }
        rank, processes = self.shard
        return {name: np.split(x, processes)[rank] for name, x in batch.items()}

    def get_state(self):
        return {"number": self.number}

    def set_state(self, state):
        self.number = state["number"]


def main(argument):
    """Trains; returns the exit code."""
    options = TrainOptions(**json.loads(argument))
    parallel.connect(options)
    task_module.network_of = lambda config: NETWORK
    # Adam makes whole steps of rounding where a gradient is 0, as that of a bias before
    # a normalisation is: with larger steps the curves of a network this small part.
    config = ReposeConfig(steps=options.steps, learning_rate=2e-5)
    task = task_module.make_task(config)
    train(task, Pairs(**parallel.loader_options(options)), options)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
