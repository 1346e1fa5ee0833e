"""Fits the shipped pose prior to the pose sampler.

Command: python experiments/make_pose_prior.py
Hardware and time: one CPU core, half a minute. Writes volhuman/assets/pose_prior.npz
(about 20 kB); deterministic.
"""

from pathlib import Path

import numpy as np
from absl import app

from volhuman.body.pose_prior import fit_pose_prior
from volhuman.body.pose_sampler import sample_pose
from volhuman.body.skeleton import mirror_pose
from volhuman.body.template import load_template

_NUM_POSES = 20_000
_PATH = Path(__file__).parents[1] / "volhuman" / "assets" / "pose_prior.npz"


def main(_):
    generator = np.random.default_rng(0)
    rest = np.asarray(load_template().joints)
    poses = np.stack([sample_pose(generator, rest) for _ in range(_NUM_POSES)])
    # Left and right are alike.
    prior = fit_pose_prior(np.concatenate([poses, mirror_pose(poses)]))
    np.savez_compressed(
        _PATH, mean=np.asarray(prior.mean), whitening=np.asarray(prior.whitening)
    )


if __name__ == "__main__":
    app.run(main)
