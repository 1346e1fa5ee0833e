"""Options out of range: one sentence with option, value and what is expected."""

import dataclasses
import re

import pytest

from volhuman.errors import InputError
from volhuman.option_checks import check_ranges, check_words


@dataclasses.dataclass
class Options:
    """Two numbers and a word."""

    steps: int = 5
    rate: float = 0.1
    warp: str = "3d"


RANGES = {"steps": (1, 2**32 - 1), "rate": (1e-8, 1.0)}
WORDS = {"warp": ("2d", "3d")}


def test_the_ends_of_a_range_belong_to_it():
    for options in (Options(), Options(1, 1e-8), Options(2**32 - 1, 1.0, "2d")):
        check_ranges(options, RANGES)
        check_words(options, WORDS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(steps=0), "--config.steps is 0, expected 1 to 4294967295"),
        (Options(steps=2**32), "is 4294967296, expected 1 to 4294967295"),
        (Options(rate=0.0), "--config.rate is 0.0, expected 1e-08 to 1"),
        (Options(rate=float("nan")), "--config.rate is nan, expected 1e-08 to 1"),
        (Options(warp="4d"), "--config.warp is '4d', expected one of 2d, 3d"),
    ],
)
def test_what_is_refused_is_named(options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        check_ranges(options, RANGES)
        check_words(options, WORDS)
