"""Compares two body estimators picture by picture: the rounds and their control.

Command: python experiments/compare_bodies.py --first=RUN/regressor.safetensors \
        --second=CONTROL/regressor.safetensors --data_dir=data [--split=test]
Hardware and time: one CPU core, a minute for 300 pictures.
Expected: the errors of both, and the differences with 95 % intervals, clustered by
person; those of the weights in README, section "Bodies from photographs".
"""

import dataclasses

from absl import app, flags

from volhuman.data.loader import open_people
from volhuman.deform_and_learn.measure_bodies import (
    MeasuredBodies,
    measure_people,
    score_cells,
)
from volhuman.deform_and_learn.regressor_weights import load_regressor

_FIRST = flags.DEFINE_string("first", "", "Weights; empty for the package's.")
_SECOND = flags.DEFINE_string("second", None, "Other weights.", required=True)
_DATA = flags.DEFINE_string("data_dir", "data", "Folder of the data sets.")
_PEOPLE = flags.DEFINE_integer("num_people", 0, "People in the set; 0 for the only.")
_SPLIT = flags.DEFINE_enum("split", "test", ["test", "validation"], "Which people.")


def main(_) -> None:
    """Measures and prints."""
    people = open_people(
        _DATA.value,
        "registrations",
        _SPLIT.value,
        num_people=_PEOPLE.value or None,
        encoded=("iuv",),
    )
    first, second = (
        measure_people(*load_regressor(path), people)
        for path in (_FIRST.value, _SECOND.value)
    )
    gaps = {name: first.values[name] - second.values[name] for name in first.values}
    show("first", first)
    show("second", second)
    show("first minus second", dataclasses.replace(first, values=gaps))


def show(name: str, measured: MeasuredBodies) -> None:
    """Prints means and intervals."""
    cells = [
        f"{column} {score.value:.3f} ({score.low:.3f} to {score.high:.3f})"
        for column, score in score_cells(measured).items()
    ]
    print(f"{name}, {len(measured.people)} pictures: {', '.join(cells)}")


if __name__ == "__main__":
    app.run(main)
