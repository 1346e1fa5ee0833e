"""From folders of predictions and ground truth to a table of scores."""

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from volhuman.errors import InputError
from volhuman.evaluation.config import EvaluateConfig
from volhuman.evaluation.image_kind import image_kind
from volhuman.evaluation.joint_kind import joint_kind
from volhuman.evaluation.kinds import METRES, Kind
from volhuman.evaluation.mesh_kind import mesh_kind
from volhuman.evaluation.protocol import NotAvailable, summarize
from volhuman.evaluation.report import check_writable, markdown, write_table
from volhuman.evaluation.tables import BODY_ROW, TRUTH_ROW, Cells, make_table

_KINDS = {"images": image_kind, "meshes": mesh_kind, "joints": joint_kind}
_SHOWN_NAMES = 3


@dataclasses.dataclass(frozen=True)
class _Row:
    """What was measured of one folder.

    Attributes:
        values: Values of every item, NaN where it failed.
        failures: Why, by item.
        surplus: Files without ground truth.
    """

    values: dict[str, list[float]]
    failures: dict[str, str]
    surplus: list[str]


def evaluate_folders(config: EvaluateConfig) -> int:
    """Measures a folder of predictions and writes the table of scores.

    Args:
        config: Options.

    Returns:
        Exit code 0; with `failures="count"` also when predictions failed, which the
        table says.

    Raises:
        InputError: If an option, the ground truth or a mask is unusable; with
            `failures="refuse"` also if a prediction is missing or unusable.
    """
    check_config(config)
    check_writable(config.output, overwrite=config.overwrite)
    kind = _KINDS[config.kind](config)
    truths = kind.list_items(config.truth)
    masks = _masks(kind, config, truths)
    folders = {config.name: kind.list_items(config.prediction)}
    if config.bare_body:
        folders[BODY_ROW] = kind.list_items(config.bare_body)
    rows = {
        name: _start(name, items, truths, config) for name, items in folders.items()
    }
    folders[TRUTH_ROW], rows[TRUTH_ROW] = truths, _Row({}, {}, [])
    for stem, path in tqdm(truths.items(), unit=config.kind[:-1], disable=None):
        truth = kind.read(path)
        mask = kind.read(masks[stem]) if masks else None
        kind.check_truth(path, truth, mask)
        for name, items in folders.items():
            _measure(kind, config, rows[name], stem, items.get(stem), truth, mask)
    _write(config, kind, rows)
    return 0


def check_config(config: EvaluateConfig) -> None:
    """Refuses values that no evaluation can use.

    Raises:
        InputError: Naming the option, its value and what is expected.
    """
    options = {"kind": _KINDS, "failures": ("refuse", "count"), "unit": METRES}
    for option, allowed in options.items():
        value = getattr(config, option)
        if value not in allowed:
            raise InputError(
                f"--config.{option} is {value!r}, expected one of {', '.join(allowed)}"
            )
    for option in ("prediction", "truth"):
        if not getattr(config, option):
            raise InputError(f"--config.{option} is missing; give a folder")
    if bool(config.bare_body) == bool(config.no_bare_body.strip()):
        raise InputError(
            "give either --config.bare_body=DIR with the results of the bare body, or "
            "--config.no_bare_body='why there are none'"
        )
    if not config.name.strip() or config.name in (TRUTH_ROW, BODY_ROW):
        raise InputError(
            f"--config.name is {config.name!r}, expected the name of a method"
        )
    if config.seed < 0:
        raise InputError(f"--config.seed is {config.seed}, expected 0 or more")


def _masks(kind: Kind, config: EvaluateConfig, truths: Mapping[str, Path]):
    """Mask of every item; empty when there is no folder of masks."""
    if not config.mask:
        return {}
    masks = kind.list_items(config.mask)
    missing = [stem for stem in truths if stem not in masks]
    if missing:
        raise InputError(f"{config.mask}: masks are missing: {_names(missing)}")
    return masks


def _start(name, items, truths, config) -> _Row:
    """An empty row, after comparing the names of the files."""
    missing = [stem for stem in truths if stem not in items]
    surplus = [stem for stem in items if stem not in truths]
    for stems, problem in ((missing, "missing"), (surplus, "without ground truth")):
        if stems and config.failures == "refuse":
            raise InputError(
                f"{name}: {problem}: {_names(stems)}; mend the folder, or add "
                "--config.failures=count"
            )
    if surplus:
        text = f"volhuman: {name}: without ground truth: {_names(surplus)}"
        print(text, file=sys.stderr)
    return _Row({}, {}, surplus)


def _names(stems: list[str]) -> str:
    shown = ", ".join(stems[:_SHOWN_NAMES])
    return shown if len(stems) <= _SHOWN_NAMES else f"{shown} and {len(stems) - 3} more"


def _measure(kind, config, row: _Row, stem, path: Path | None, truth, mask) -> None:
    """Adds the values of one item to a row, NaN where it fails."""
    values, failure = [float("nan")] * len(kind.protocols), None
    try:
        if path is None:
            failure = "the file is missing"
        else:
            prediction = kind.read(path)
            try:
                values = kind.measure(prediction, truth, mask)
            except InputError as error:
                raise InputError(f"{path}: {error}") from error
            if np.isnan(values).any():
                raise InputError(f"{path}: a metric has no value")
    except InputError as error:
        if config.failures == "refuse":
            raise InputError(
                f"{error}; mend it, or add --config.failures=count"
            ) from error
        failure = str(error)
    row.values[stem] = values
    if failure:
        row.failures[stem] = failure


def _write(config: EvaluateConfig, kind: Kind, rows: Mapping[str, _Row]) -> None:
    scores = {name: _cells(config, kind, row, name) for name, row in rows.items()}
    body = NotAvailable("not applicable", config.no_bare_body.strip() or "no folder")
    table = make_table(
        f"{config.kind}: {config.name}",
        {config.name: scores[config.name]},
        truth=scores[TRUTH_ROW],
        bare_body=scores.get(BODY_ROW, body),
    )
    labels = [protocol.label for protocol in kind.protocols]
    details = {
        "options": {
            option: value
            for option, value in dataclasses.asdict(config).items()
            if option not in ("output", "overwrite")
        },
        "items": {
            name: {stem: dict(zip(labels, v)) for stem, v in row.values.items()}
            for name, row in rows.items()
        },
        "failures": {name: row.failures for name, row in rows.items()},
        "without_ground_truth": {name: row.surplus for name, row in rows.items()},
    }
    write_table(config.output, table, details=details, overwrite=config.overwrite)
    print(markdown(table))


def _cells(config: EvaluateConfig, kind: Kind, row: _Row, name: str) -> Cells:
    """Scores by label; files of one person form a group."""
    groups = None
    if config.person:
        groups = np.array([stem.split(config.person)[0] for stem in row.values])
    source = {TRUTH_ROW: "ground truth", BODY_ROW: "bare body"}
    values = np.array(list(row.values.values()))
    cells: dict = {}
    for number, protocol in enumerate(kind.protocols):
        body = source.get(name, protocol.body_source)
        cells[protocol.label] = summarize(
            values[:, number],
            dataclasses.replace(protocol, body_source=body),
            groups=groups,
            seed=config.seed,
        )
    return cells | dict(kind.absent)
