"""Compares folders of predictions and ground truth.

Command: python -m volhuman.main --config=experiments/evaluate.py \
    --config.kind=images --config.prediction=DIR --config.truth=DIR \
    --config.bare_body=DIR --config.output=DIR
Hardware and time: 2 CPU cores, for each row of the table; a pair of pictures of 512 x
512 pixels 0.1 s, a pair of meshes of 14,000 faces 1 s, of 220,000 faces 5 s.
Expected: OUTPUT/scores.md with the prediction, the ground truth against itself and the
bare body in its rows.
"""

import dataclasses

from ml_collections import config_dict

from volhuman.evaluation.config import EvaluateConfig


def get_config() -> config_dict.ConfigDict:
    """Every option with its default."""
    return config_dict.ConfigDict(dataclasses.asdict(EvaluateConfig()))
