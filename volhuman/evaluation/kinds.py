"""What a kind of item is to the evaluation of folders."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from volhuman.errors import InputError
from volhuman.evaluation.config import EvaluateConfig
from volhuman.evaluation.protocol import NotAvailable, Protocol

METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
"""How long a unit is."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """Reading and measuring one kind of item.

    Attributes:
        list_items: Files of a folder by stem.
        read: Reads a file; raises `InputError`.
        check_truth: Raises `InputError` for a path, what was read from it, and its mask
            (None without) when nothing can be measured against them.
        measure: Values of a prediction, its truth and its mask; raises `InputError`,
            without the path, when there are none.
        protocols: How each of these values is measured, in their order.
        absent: Why there is no value, by label.
    """

    list_items: Callable[[str], dict[str, Path]]
    read: Callable[[Path], Any]
    check_truth: Callable[[Path, Any, Any], None]
    measure: Callable[[Any, Any, Any], list[float]]
    protocols: list[Protocol]
    absent: Mapping[str, NotAvailable] = dataclasses.field(default_factory=dict)


def chosen_variants(config: EvaluateConfig, allowed: list[str]) -> list[str]:
    """Returns the variants of a configuration, in its order.

    Raises:
        InputError: If there is none, one twice, or one that the kind does not have.
    """
    chosen = [name.strip() for name in config.variant.split(",")]
    for name in chosen:
        if name not in allowed or chosen.count(name) > 1:
            raise InputError(
                f"--config.variant is {config.variant!r}, expected different ones of "
                f"{', '.join(allowed)} for {config.kind}"
            )
    return chosen


def protocol_for(
    config: EvaluateConfig,
    metric: str,
    variant: str,
    *,
    unit: str = "",
    higher_is_better: bool = False,
    **details: Any,
) -> Protocol:
    """Returns a protocol with what the configuration says about data and body."""
    return Protocol(
        metric=metric,
        variant=variant,
        unit=unit,
        higher_is_better=higher_is_better,
        data=config.data,
        data_version=config.data_version,
        body_source=config.body_source,
        **details,
    )
