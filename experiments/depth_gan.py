"""Trains the depth GAN on synthetic 2D poses or on a file of poses, or measures it.

Commands: python -m volhuman.main --config=experiments/depth_gan.py \
        --config.width=256 --config.learning_rate=1e-3 --config.steps=6000
    python -m volhuman.main --config=experiments/depth_gan.py --config.mode=evaluate \
        --config.weights=output/depth_gan/run/depth_gan.safetensors
    python -m volhuman.main --config=experiments/depth_gan.py \
        --config.poses=mpii_poses_2d.npy --config.layout=mpii
    The published form: --config.batch_size=16 --config.learning_rate=2e-4 \
        --config.schedule=constant --config.direction=none --config.renormalize=False
Hardware and time: 2 CPU cores, 90 s of processor time for the first command; the
published width of 1024 takes 0.1 s a step.
Expected: output/depth_gan/run/depth_gan.safetensors. On 1000 held-out synthetic people
94 mm MPJPE (zero depths: 165 mm), 2 % of the poses with depths of the wrong sign; on
400 poses of motion capture 133 mm (zero depths: 180 mm), 2 %.
"""

import dataclasses

from ml_collections import config_dict

from volhuman.deform_and_learn.depth_config import DepthGanConfig


def get_config() -> config_dict.ConfigDict:
    """Every option with its default."""
    return config_dict.ConfigDict(dataclasses.asdict(DepthGanConfig()))
