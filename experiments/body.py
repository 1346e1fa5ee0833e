"""Trains the body estimator in rounds of deforming and learning, measures it, uses it.

Commands: python -m volhuman.main --config=experiments/body.py --config.data_dir=data
    python -m volhuman.main --config=experiments/body.py --config.mode=evaluate
    python -m volhuman.main --config=experiments/body.py --config.mode=predict \
        --config.input=PHOTO
    The control, one round of as many steps: --config.rounds=1 --config.steps=9000
    The published form: --config.network=paper --config.backbone=FILE \
        --config.learning_rate=1e-4 --config.schedule=constant \
        --config.depth_width=1024 --config.point_weight=0
Hardware and time: network small, 5,400 pictures of 1,500 people: two to four steps a
second on one or two CPU cores, an hour and a quarter for the rounds beside other work.
A photograph takes seconds.
Expected: output/body/run with round_1 to round_3, rounds.csv, rounds.png and
regressor.safetensors; the errors of the last round are those in README, section "Bodies
from photographs". A training that was stopped continues.
"""

import dataclasses

from ml_collections import config_dict

from volhuman.deform_and_learn.body_config import BodyConfig


def get_config() -> config_dict.ConfigDict:
    """Every option with its default."""
    return config_dict.ConfigDict(dataclasses.asdict(BodyConfig()))
