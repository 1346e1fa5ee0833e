"""The command that measures a reposing network on held-out synthetic people."""

import dataclasses
from pathlib import Path

import numpy as np

from volhuman.body.skeleton import JOINT_NAMES
from volhuman.data.images import write_png
from volhuman.evaluation.pose_estimator import load_pose_estimator
from volhuman.evaluation.protocol import NotAvailable
from volhuman.evaluation.report import check_writable, markdown, write_table
from volhuman.evaluation.tables import make_table
from volhuman.repose.completion import complete_figure
from volhuman.repose.config import ReposeConfig
from volhuman.repose.measure import Measured, measure_pairs, score_cells
from volhuman.repose.pairs import open_pairs
from volhuman.repose.results import draw_figure, enlarge
from volhuman.repose.weights import load_generator

SHEET = "pairs.png"
_SPLIT = "test"
_PERFECT = {"SSIM": 1.0, "SSIM foreground": 1.0, "pose AUC": 1.0, "L1": 0.0}


def evaluate_network(config: ReposeConfig) -> int:
    """Measures weights on the test people; writes a table and a sheet of pictures.

    Returns:
        The exit code.

    Raises:
        InputError: If weights or data cannot be used, or results exist already.
    """
    folder = Path(config.output)
    check_writable(folder, overwrite=config.overwrite)
    network, params = load_generator(config.weights)
    estimator, label = load_pose_estimator(config.estimator)
    pairs = open_pairs(config, network, _SPLIT)
    measured = measure_pairs(
        network, params, pairs, estimator, batch_size=config.batch_size
    )
    unchanged = measure_pairs(
        network, None, pairs, estimator, batch_size=config.batch_size, num_pictures=1
    )
    table = make_table(
        "Reposing",
        {
            "reposed": score_cells(measured, estimator=label),
            "source picture, unchanged": score_cells(unchanged, estimator=label),
        },
        truth=score_cells(perfect(measured), estimator=label),
        bare_body=NotAvailable("not applicable", "pictures are compared, not bodies"),
    )
    write_table(folder, table, overwrite=config.overwrite)
    write_png(folder / SHEET, contact_sheet(measured.pictures))
    print(markdown(table))
    print(f"{folder}: scores.json, scores.csv, scores.md, {SHEET}")
    return 0


def perfect(measured: Measured) -> Measured:
    """What the truth scores against itself."""
    count = len(measured.people)
    values = {name: np.full(count, _PERFECT[name]) for name in measured.values}
    return dataclasses.replace(measured, values=values)


def contact_sheet(pictures: dict[str, np.ndarray]) -> np.ndarray:
    """Puts input, wanted pose, result and truth side by side, one pair a row.

    Args:
        pictures: As in `Measured`.

    Returns:
        `(H, W, 3)` in [0, 1], each picture at least 256 pixels high.
    """
    rows = []
    for source, painted, target, joints in zip(
        *(pictures[name] for name in ("source", "painted", "target", "joints")),
        strict=True,
    ):
        named = {name: joints[None, n] for n, name in enumerate(JOINT_NAMES)}
        figure = draw_figure(np.full_like(source, 0.93), complete_figure(named)[0])
        row = [enlarge(source), figure, enlarge(painted), enlarge(target)]
        rows.append(np.concatenate(row, axis=1))
    return np.concatenate(rows)
