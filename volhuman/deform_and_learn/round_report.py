"""What the rounds came to: a table and the paper's figure 2."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from volhuman.data.result_folders import replace_file

_CURVES = {
    "registration MPJPE": "registration of the training pictures",
    "test MPJPE": "regressor on held-out people",
    "depth GAN MPJPE": "depth GAN on held-out people, true 2D joints",
    "registration PA-MPJPE": "registration, after Procrustes alignment",
    "test PA-MPJPE": "regressor, after Procrustes alignment",
}


def write_rounds(folder: Path, scores: Sequence[Mapping[str, Any]]) -> None:
    """Writes `rounds.csv` and `rounds.png`, replacing earlier ones.

    Args:
        folder: Folder of the training.
        scores: Scores of each round, from the first.

    Raises:
        InputError: If they cannot be written.
    """
    text = io.StringIO()
    # A round that learns from given fits has no numbers of the depth GAN.
    names = list(dict.fromkeys(name for row in scores for name in row))
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(scores)
    replace_file(folder / "rounds.csv", text.getvalue().encode())
    picture = io.BytesIO()
    plot_rounds(scores).savefig(picture, format="png")
    replace_file(folder / "rounds.png", picture.getvalue())


def plot_rounds(scores: Sequence[Mapping[str, Any]]) -> Figure:
    """Plots errors over rounds.

    Source: Yoshiyasu & Gamez, "Learning body shape and pose from dense
    correspondences", figure 2.
    """
    figure = Figure(figsize=(7, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    rounds = [row["round"] for row in scores]
    colors = {"registration": "C0", "test": "C1", "depth": "C2"}
    for name, label in _CURVES.items():
        if not any(name in row for row in scores):
            continue
        style = "--" if "PA" in name else "-"
        color = colors[name.split()[0]]
        # A round that learns from given fits has no depth GAN.
        values = [row.get(name, np.nan) for row in scores]
        axes.plot(rounds, values, style, color=color, marker="o", label=label)
    axes.set_xticks(rounds)
    axes.set_xlabel("round")
    axes.set_ylabel("mean error of the joints in mm")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
