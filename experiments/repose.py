"""Trains the reposing network on synthetic people, measures and uses it.

Commands: python -m volhuman.main --config=experiments/people.py --config.mode=build \
        --config.variant=pairs --config.size=64 --config.num_people=3000
    python -m volhuman.main --config=experiments/repose.py --config.adversarial=0.0 \
        --config.steps=8000 --config.learning_rate=1.5e-3 --config.schedule=cosine \
        --config.average=0.998
    python -m volhuman.main --config=experiments/repose.py --config.mode=evaluate \
        --config.weights=output/repose/run/generator.safetensors
    python -m volhuman.main --config=experiments/repose.py --config.mode=predict \
        --config.input=photo.jpg --config.keypoints=body.json --config.target=walk.bvh
    python -m volhuman.main --config=experiments/repose.py --config.mode=describe \
        --config.network=paper
Hardware and time: network small (64 x 64), one CPU core: 1.6 steps of 8 pairs a second
without adversarial loss, so an hour and a half for 8,000 steps.
Expected: output/repose/run with checkpoints, training.csv, validation.csv, pictures for
TensorBoard and generator.safetensors; a run that was stopped continues. Pictures, an
animation for a motion, and tables of scores in the folder of --config.output.
"""

import dataclasses

from ml_collections import config_dict

from volhuman.repose.config import ReposeConfig


def get_config() -> config_dict.ConfigDict:
    """Every option with its default."""
    return config_dict.ConfigDict(dataclasses.asdict(ReposeConfig()))
