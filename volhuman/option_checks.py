"""Checks of options that a user gives, with sentences that name the option."""

from collections.abc import Collection, Mapping
from typing import Any

from volhuman.errors import InputError


def check_ranges(config: Any, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Refuses numbers outside their range, and those that are none.

    Args:
        config: Object with an attribute for each option.
        ranges: Least and largest number by option.

    Raises:
        InputError: Naming the option, its value and what is expected.
    """
    for option, (least, most) in ranges.items():
        value = getattr(config, option)
        if not least <= value <= most:
            raise InputError(
                f"--config.{option} is {value}, expected {_text(least)} to "
                f"{_text(most)}"
            )


def check_words(config: Any, words: Mapping[str, Collection[str]]) -> None:
    """Refuses words that are not among those allowed.

    Args:
        config: Object with an attribute for each option.
        words: Allowed words by option.

    Raises:
        InputError: Naming the option, its value and the words.
    """
    for option, allowed in words.items():
        value = getattr(config, option)
        if value not in allowed:
            raise InputError(
                f"--config.{option} is {value!r}, expected one of {', '.join(allowed)}"
            )


def _text(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)
