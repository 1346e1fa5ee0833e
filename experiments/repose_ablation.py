"""The reposing paper's ablation: 2D or 3D warp, 2D or 3D pose, on synthetic people.

Trains every arm with several seeds and the same budget, measures all of them on the
test people, and prints table 1 of the paper for them; beside it the published limb fit,
which mirrors.

Command: python experiments/repose_ablation.py --data_dir=data --workdir=output/ablation
Hardware and time: 2 CPU cores, 15 trainings of 1000 steps, about an hour.
Expected: scores.md, .csv and .json in the folder, one row an arm; what is there already
is not trained again.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
from absl import app, flags

from volhuman.evaluation.pose_estimator import load_pose_estimator
from volhuman.evaluation.protocol import NotAvailable
from volhuman.evaluation.report import markdown, write_table
from volhuman.evaluation.tables import make_table
from volhuman.repose.config import ReposeConfig, network_of
from volhuman.repose.evaluate import perfect
from volhuman.repose.measure import METRICS, Measured, measure_pairs, score_cells
from volhuman.repose.pairs import open_pairs
from volhuman.repose.train import WEIGHTS, train_network
from volhuman.repose.weights import load_generator

_DATA = flags.DEFINE_string("data_dir", "data", "Folder of the data sets.")
_PEOPLE = flags.DEFINE_integer(
    "num_people", 0, "People in the set; 0 for the only one."
)
_WORKDIR = flags.DEFINE_string("workdir", "output/ablation", "Folder of the runs.")
_NETWORK = flags.DEFINE_string("network", "tiny", "Preset of sizes.")
_STEPS = flags.DEFINE_integer("steps", 1000, "Steps a training.")
_BATCH = flags.DEFINE_integer("batch_size", 4, "Pairs a step.")
_RATE = flags.DEFINE_float("learning_rate", 2e-3, "Adam's rate, falling to 0.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "Trainings an arm.")
_ESTIMATOR = flags.DEFINE_string(
    "estimator", "", "Weights of the pose estimator; empty for the package's."
)

ARMS = {
    "2D warp, 2D pose": ("2d", "2d"),
    "2D warp, 3D pose": ("2d", "3d"),
    "3D warp, 2D pose": ("3d", "2d"),
    "3D warp, 3D pose": ("3d", "3d"),
    "3D warp with mirrored limbs, 3D pose": ("mirrored", "3d"),
}


def main(_) -> None:
    """Trains, measures, writes."""
    folder = Path(_WORKDIR.value)
    runs = [
        (name, configure(folder, *arm, seed))
        for seed in range(_SEEDS.value)
        for name, arm in ARMS.items()
    ]
    for _, config in runs:
        # One that is done is compared with these options and written again.
        train_network(config)
    estimator, label = load_pose_estimator(_ESTIMATOR.value)
    results = {name: [] for name in ARMS}
    for name, config in runs:
        results[name].append(measure(config, estimator))
        print(f"{name}, seed {config.seed}: {summary(results[name][-1])}", flush=True)
    config = configure(folder, "3d", "3d", 0)
    pairs = open_pairs(config, network_of(config), "test")
    unchanged = measure_pairs(network_of(config), None, pairs, estimator)
    rows = {
        name: score_cells(joined(runs), estimator=label)
        for name, runs in results.items()
    }
    rows["source picture, unchanged"] = score_cells(unchanged, estimator=label)
    table = make_table(
        f"Reposing, {_SEEDS.value} seeds, {_STEPS.value} steps of {_BATCH.value}",
        rows,
        truth=score_cells(perfect(unchanged), estimator=label),
        bare_body=NotAvailable("not applicable", "pictures are compared, not bodies"),
    )
    details = {
        name: [
            {metric: float(measured.values[metric].mean()) for metric in METRICS}
            for measured in runs
        ]
        for name, runs in results.items()
    }
    write_table(folder, table, details={"seeds": details}, overwrite=True)
    print(markdown(table))
    print(json.dumps(differences(results), indent=1))


def configure(folder: Path, warp: str, pose: str, seed: int) -> ReposeConfig:
    """The options of one training."""
    return ReposeConfig(
        network=_NETWORK.value,
        warp=warp,
        pose=pose,
        seed=seed,
        steps=_STEPS.value,
        batch_size=_BATCH.value,
        learning_rate=_RATE.value,
        schedule="cosine",
        adversarial=0.0,
        average=0.99,
        augment=False,
        data_dir=_DATA.value,
        num_people=_PEOPLE.value,
        workdir=str(
            folder
            / f"{_NETWORK.value}_{_STEPS.value}x{_BATCH.value}"
            / f"warp_{warp}_pose_{pose}_seed_{seed}"
        ),
        save_every=_STEPS.value,
        evaluate_every=0,
        log_every=100,
    )


def measure(config: ReposeConfig, estimator: dict) -> Measured:
    """Measures a training on the test people."""
    network, params = load_generator(Path(config.workdir) / WEIGHTS)
    pairs = open_pairs(config, network, "test")
    return measure_pairs(network, params, pairs, estimator)


def joined(runs: list[Measured]) -> Measured:
    """The pairs of all seeds together; they are clustered by person all the same."""
    values = {
        name: np.concatenate([run.values[name] for run in runs]) for name in METRICS
    }
    people = np.concatenate([run.people for run in runs])
    return dataclasses.replace(runs[0], values=values, people=people)


def differences(results: dict[str, list[Measured]]) -> dict[str, dict[str, list]]:
    """Full model minus each arm, pair by pair: mean and 95 % interval a metric."""
    full = joined(results["3D warp, 3D pose"])
    found = {}
    for name in ARMS:
        if name == "3D warp, 3D pose":
            continue
        other = joined(results[name])
        gap = dataclasses.replace(
            full, values={n: full.values[n] - other.values[n] for n in METRICS}
        )
        found[name] = {
            label: [round(x, 4) for x in (score.value, score.low, score.high)]
            for label, score in score_cells(gap).items()
        }
    return found


def summary(measured: Measured) -> str:
    """Means in one line."""
    return ", ".join(f"{n} {measured.values[n].mean():.4f}" for n in METRICS)


if __name__ == "__main__":
    app.run(main)
