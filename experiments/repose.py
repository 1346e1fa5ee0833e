"""Trains the reposing network on synthetic people, or describes it.

Commands: python -m volhuman.main --config=experiments/people.py --config.mode=build \
        --config.variant=pairs --config.size=64 --config.num_people=1500
    python -m volhuman.main --config=experiments/repose.py
    python -m volhuman.main --config=experiments/repose.py --config.mode=describe \
        --config.network=paper
Hardware and time: network small (64 x 64), 2 CPU cores: about 0.5 s a step without
adversarial loss.
Expected: output/repose/run with checkpoints, training.csv, validation.csv and pictures
for TensorBoard; a run that was stopped continues.
"""

import dataclasses

from ml_collections import config_dict

from volhuman.repose.config import ReposeConfig


def get_config() -> config_dict.ConfigDict:
    """Every option with its default."""
    return config_dict.ConfigDict(dataclasses.asdict(ReposeConfig()))
