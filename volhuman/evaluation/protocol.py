"""What a number means: the protocol it was measured under, and its uncertainty."""

import dataclasses
from collections.abc import Mapping
from importlib import metadata

import numpy as np

from volhuman.checks import check_option
from volhuman.evaluation.bootstrap import bootstrap_interval

# Of one table's column these may differ from row to row: rows compare bodies, and old
# results are set beside new ones.
_MAY_DIFFER = {"body_source", "version"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a metric was measured. Numbers are comparable where protocols are equal.

    Attributes:
        metric: Name of the metric, such as "P2S".
        variant: Name of its definition, such as "pifuhd".
        unit: Unit of the value, empty for a ratio.
        higher_is_better: Direction.
        data: Name of the data set and split.
        data_version: Its version, list of items or checksum.
        body_source: Where the body came from: ground truth, fitted, none.
        alignment: What was aligned before measuring, "none" for nothing.
        samples: Number of samples an item, None where nothing is sampled.
        seed: Seed of the sampling, None where nothing is sampled.
        version: Version of this package.
        extra: Whatever else the value depends on.
    """

    metric: str
    variant: str
    unit: str
    higher_is_better: bool
    data: str = "not stated"
    data_version: str = "not stated"
    body_source: str = "not stated"
    alignment: str = "none"
    samples: int | None = None
    seed: int | None = None
    version: str = dataclasses.field(
        default_factory=lambda: metadata.version("volhuman")
    )
    extra: Mapping[str, str | int | float | bool | None] = dataclasses.field(
        default_factory=dict
    )

    @property
    def label(self) -> str:
        """Heading of a column: metric, variant, unit and direction."""
        unit = f" {self.unit}" if self.unit else ""
        arrow = "↑" if self.higher_is_better else "↓"
        return f"{self.metric} ({self.variant}){unit} {arrow}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """A mean over items with its confidence interval.

    Attributes:
        value: Mean over the items that count; NaN when all failed.
        low: Lower end of the 95 % interval, NaN where unknown.
        high: Upper end.
        count: Number of items, failures included.
        failures: How many of them have no value. Unless the protocol's extra
            "failure_value" names what they count as, the mean is over the others.
        protocol: How it was measured.
    """

    value: float
    low: float
    high: float
    count: int
    failures: int
    protocol: Protocol


@dataclasses.dataclass(frozen=True)
class NotAvailable:
    """Stands in a table where there is no number, and says why.

    Attributes:
        status: "not computed" (it could be) or "not applicable" (it means nothing).
        reason: Why, in words.
    """

    status: str
    reason: str

    def __post_init__(self):
        check_option("status", self.status, ("not computed", "not applicable"))
        if not self.reason.strip():
            raise ValueError(f"{self.status!r} needs a reason")


def summarize(
    values: np.ndarray,
    protocol: Protocol,
    *,
    groups: np.ndarray | None = None,
    failure_value: float | None = None,
    seed: int = 0,
) -> Score:
    """Turns the values of items into a score; NaN is a failure and is counted.

    Args:
        values: `(N,)`, NaN where the item failed.
        protocol: How they were measured.
        groups: `(N,)` labels of what depends on each other, such as person ids.
        failure_value: What a failure counts as, recorded in the protocol; default: the
            mean is over the other items, and the number of failures stands beside it.
        seed: Seed of the confidence interval.

    Returns:
        The score.

    Raises:
        ValueError: If there is no item, or not one group an item.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"values has shape {values.shape}, expected (N,) items")
    if groups is not None and np.shape(groups) != values.shape:
        raise ValueError(
            f"groups has shape {np.shape(groups)}, expected {values.shape} as values"
        )
    failed = np.isnan(values)
    if failure_value is not None:
        extra = {**protocol.extra, "failure_value": failure_value}
        protocol = dataclasses.replace(protocol, extra=extra)
        values = np.where(failed, failure_value, values)
    counted = ~np.isnan(values)
    value = low = high = float("nan")
    if counted.any():
        value = float(values[counted].mean())
        kept = None if groups is None else np.asarray(groups)[counted]
        low, high = bootstrap_interval(values[counted], seed=seed, groups=kept)
    return Score(
        value=value,
        low=low,
        high=high,
        count=len(values),
        failures=int(failed.sum()),
        protocol=protocol,
    )


def protocol_differences(
    first: Protocol, second: Protocol
) -> dict[str, tuple[object, object]]:
    """Returns what makes two protocols' numbers incomparable, empty for nothing.

    The source of the body and the package's version may differ.
    """
    pairs = {
        field.name: (getattr(first, field.name), getattr(second, field.name))
        for field in dataclasses.fields(Protocol)
        if field.name not in _MAY_DIFFER
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
