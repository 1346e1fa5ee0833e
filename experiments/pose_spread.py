"""How varied the sampled poses are, beside a file of other poses.

Command: python experiments/pose_spread.py --pose_file=POSES.npz
Hardware and time: one CPU core, five seconds.
Expected: the table in README, section "The body and its poses" (against 400 CMU poses).
"""

import numpy as np
from absl import app, flags

from volhuman.body.pose_sampler import collides, posed_joints, sample_pose
from volhuman.body.template import load_template

_POSE_FILE = flags.DEFINE_string(
    "pose_file", None, "npz with `pose` (N, 24, 3).", required=True
)


def main(_):
    rest = np.asarray(load_template().joints)
    with np.load(_POSE_FILE.value, allow_pickle=False) as archive:
        given = archive["pose"].astype(np.float64)
    given[:, 0] = 0
    generator = np.random.default_rng(0)
    drawn = np.stack([sample_pose(generator, rest) for _ in given])
    sets = {"sampler": drawn, "file": given}
    joints = {
        name: np.stack([posed_joints(pose, rest) for pose in poses]) - rest[0]
        for name, poses in sets.items()
    }

    def distance(first, second):
        return np.linalg.norm(first[:, None] - second[None], axis=-1).mean(-1) * 1000

    for name, poses in sets.items():
        own = distance(joints[name], joints[name])
        spread = np.sqrt((joints[name].std(0) ** 2).sum(-1).mean()) * 1000
        share = np.mean([collides(pose, rest) for pose in poses])
        print(
            f"{name:8s} {len(poses)} poses: joint deviation {spread:.0f} mm, median "
            f"distance of two poses {np.median(own):.0f} mm, colliding {share:.1%}"
        )
    across = distance(joints["file"], joints["sampler"])
    within = distance(joints["file"], joints["file"]) + np.diag(
        np.full(len(given), 1e9)
    )
    print(
        f"nearest sampled pose of a file pose: {across.min(1).mean():.0f} mm in the "
        f"mean (nearest other file pose: {within.min(1).mean():.0f} mm)"
    )


if __name__ == "__main__":
    app.run(main)
