"""Fits a body to a photograph.

Command: python -m volhuman.main --config=experiments/register.py \
    --config.input=PHOTO --config.keypoints=FILE --config.output=DIR
Hardware and time: 2 CPU cores; about 10 s to compile, then 2 s a photograph.
Expected: DIR/<stem>/overlay.png shows the body on the person. Without an input the
bundled example is fitted to below 5 px.
"""

import dataclasses

from ml_collections import config_dict

from volhuman.deform_and_learn.config import RegisterConfig


def get_config() -> config_dict.ConfigDict:
    """Every option with its default."""
    return config_dict.ConfigDict(dataclasses.asdict(RegisterConfig()))
