"""Shows synthetic people, or builds a data set of them.

Commands: python -m volhuman.main --config=experiments/people.py
    python -m volhuman.main --config=experiments/people.py --config.mode=build \
        --config.variant=views --config.num_people=200 --config.data_dir=data
Hardware and time: 2 CPU cores; 16 people take 20 s to show, 200 people 3 to 4 minutes
to build. A build that was stopped continues where it was.
Expected: output/people/people.png with four pictures of each person and channels.png
with every channel; or data/volhuman_people/views_256_s0_n200.
"""

import dataclasses

from ml_collections import config_dict

from volhuman.data.config import PeopleOptions


def get_config() -> config_dict.ConfigDict:
    """Every option with its default."""
    return config_dict.ConfigDict(dataclasses.asdict(PeopleOptions()))
