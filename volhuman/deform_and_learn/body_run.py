"""The command that trains, describes, measures and uses the body estimator."""

from pathlib import Path

import jax
import jax.numpy as jnp

from volhuman.deform_and_learn.body_config import NETWORKS, BodyConfig, check_config
from volhuman.deform_and_learn.body_predict import estimate_photographs
from volhuman.deform_and_learn.measure_bodies import (
    measure_people,
    score_cells,
    without_error,
)
from volhuman.deform_and_learn.measure_human36m import (
    measure_human36m,
    open_human36m,
    score_human36m,
)
from volhuman.deform_and_learn.regressor import Regressor
from volhuman.deform_and_learn.regressor_weights import load_regressor
from volhuman.deform_and_learn.rounds import open_people_of, train_rounds
from volhuman.evaluation.report import check_writable, markdown, write_table
from volhuman.evaluation.tables import make_table
from volhuman.training.describe import describe

_SPLIT = "test"


def run_body(config: BodyConfig) -> int:
    """Runs the command; returns the exit code.

    Raises:
        InputError: If an option, a file or a checkpoint cannot be used.
    """
    check_config(config)
    if config.mode == "describe":
        network = NETWORKS[config.network]
        side = network.image_size
        pictures = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
        print(describe({"regressor": (Regressor(network), (pictures,))}))
    elif config.mode == "evaluate":
        evaluate_regressor(config)
    elif config.mode == "predict":
        return estimate_photographs(config)
    else:
        train_rounds(config)
    return 0


def evaluate_regressor(config: BodyConfig) -> None:
    """Measures weights on the test people, or on Human3.6M; writes tables.

    Raises:
        InputError: If weights or data cannot be used, or results exist already.
    """
    if config.human36m:
        evaluate_human36m(config)
        return
    folder = Path(config.output)
    check_writable(folder, overwrite=config.overwrite)
    network, variables = load_regressor(config.weights)
    people = open_people_of(config, _SPLIT)
    measured = measure_people(network, variables, people)
    table = make_table(
        "Bodies from pictures",
        {"regressor": score_cells(measured)},
        truth=score_cells(without_error(measured)),
        bare_body=score_cells(measure_people(network, None, people)),
    )
    write_table(folder, table, overwrite=config.overwrite)
    print(markdown(table))
    print(f"{folder}: scores.json, scores.csv, scores.md")


def evaluate_human36m(config: BodyConfig) -> None:
    """Measures weights by Protocol #1 of Human3.6M; writes `output/human36m`.

    Raises:
        InputError: If weights or data cannot be used, or results exist already.
    """
    folder = Path(config.output) / "human36m"
    check_writable(folder, overwrite=config.overwrite)
    network, variables = load_regressor(config.weights)
    frames = open_human36m(config.human36m, config.data_dir)
    measured = measure_human36m(network, variables, frames)
    table = make_table(
        "Bodies in Human3.6M",
        {"regressor": score_human36m(measured)},
        truth=score_human36m(without_error(measured)),
        bare_body=score_human36m(measure_human36m(network, None, frames)),
    )
    write_table(folder, table, overwrite=config.overwrite)
    print(markdown(table))
    print(f"{folder}: scores.json, scores.csv, scores.md")
