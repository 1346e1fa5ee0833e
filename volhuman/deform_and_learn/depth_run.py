"""The command that trains, describes and measures the depth GAN."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.body.template import load_template
from volhuman.data.sets.files import need_file, number_array, read_npz_array
from volhuman.deform_and_learn.depth_config import DepthGanConfig, check_config
from volhuman.deform_and_learn.depth_gan import Critic, Lifter, lift_depths
from volhuman.deform_and_learn.depth_measure import METRICS, score_depths
from volhuman.deform_and_learn.depth_task import make_task
from volhuman.deform_and_learn.depth_weights import (
    SHIPPED,
    load_depth_gan,
    read_layout,
    save_depth_gan,
)
from volhuman.deform_and_learn.pose_batches import PoseBatches, read_in_order
from volhuman.deform_and_learn.poses_2d import (
    NUM_JOINTS_17,
    joints_from_poses,
    read_poses_2d,
    sample_joints,
    view_joints,
)
from volhuman.errors import InputError
from volhuman.evaluation.protocol import NotAvailable
from volhuman.evaluation.report import check_writable, markdown, write_table
from volhuman.evaluation.tables import Cells, make_table
from volhuman.training.config import TrainOptions
from volhuman.training.describe import describe
from volhuman.training.loop import train
from volhuman.training.manifest import file_digest
from volhuman.training.parallel import connect, loader_options

# What may differ when a run continues.
_CHANGEABLE = ("mode", "weights", "body_poses", "output", "overwrite")
# What else says where and how a training ran, and nothing about its weights.
_PLACES = {*_CHANGEABLE, "poses", "workdir", "num_devices", "log_every"}
_NUM_VALIDATION, _NUM_TEST = 512, 1000
_SYNTHETIC, _GIVEN = "held-out synthetic people", "given poses"
_NO_SIGN = "depths of 0 have no sign"


def run_depth_gan(config: DepthGanConfig) -> int:
    """Runs the command; returns the exit code.

    Raises:
        InputError: If an option, a file or a checkpoint cannot be used.
    """
    check_config(config)
    if config.mode == "describe":
        poses = jax.ShapeDtypeStruct((1, NUM_JOINTS_17, 2), jnp.float32)
        networks = {"lifter": Lifter(config.width), "critic": Critic(config.width)}
        print(describe({name: (net, (poses,)) for name, net in networks.items()}))
    elif config.mode == "evaluate":
        evaluate_depth_gan(config)
    else:
        train_depth_gan(config)
    return 0


def train_depth_gan(config: DepthGanConfig) -> None:
    """Trains, continuing where an earlier run stood, and writes the lifter's weights.

    Raises:
        InputError: If an option, the poses or a checkpoint cannot be used.
    """
    options = TrainOptions(
        workdir=config.workdir,
        steps=config.steps,
        batch_size=config.batch_size,
        seed=config.seed,
        save_every=config.save_every,
        evaluate_every=config.evaluate_every,
        log_every=config.log_every,
        num_devices=config.num_devices,
    )
    connect(options)
    if config.poses:
        people = read_poses_2d(config.poses)
    else:
        people = sample_joints(
            config.num_poses, seed=_train_seed(config.seed), layout=config.layout
        )
    validation = None
    if config.evaluate_every:
        held_out = held_out_people(_NUM_VALIDATION, layout=config.layout, seed=1)
        validation = read_in_order(held_out, _NUM_VALIDATION)
    recorded = dataclasses.asdict(config)
    if config.poses:
        # The file may move: it is what it holds that may not change.
        recorded["poses"] = f"sha256 {file_digest(Path(config.poses))}"
    state = train(
        make_task(config),
        PoseBatches(people, **loader_options(options)),
        options,
        validation=validation,
        config=recorded,
        changeable=_CHANGEABLE,
    )
    path = Path(config.workdir) / SHIPPED
    kept = {name: recorded[name] for name in recorded.keys() - _PLACES}
    digest = save_depth_gan(
        path,
        state["average"],
        layout=config.layout,
        config=kept | {"poses": Path(config.poses).name or "synthetic people"},
        step=int(state["step"]),
    )
    print(f"{path}: step {int(state['step'])}, sha256 {digest}")


def evaluate_depth_gan(config: DepthGanConfig) -> None:
    """Measures weights on held-out synthetic people and given poses; writes a table.

    Raises:
        InputError: If weights or poses cannot be used, or results exist already.
    """
    folder = Path(config.output)
    check_writable(folder, overwrite=config.overwrite)
    params, layout = load_depth_gan(config.weights), read_layout(config.weights)
    people = {_SYNTHETIC: held_out_people(_NUM_TEST, layout=layout, seed=3)}
    if config.body_poses:
        people[_GIVEN] = read_body_poses(config.body_poses, layout=layout)
    lift = jax.jit(lift_depths)
    rows: dict[str, dict] = {"lifted": {}, "mirrored truth": {}, "zero depths": {}}
    truth: dict = {}
    for name, joints in people.items():
        depths = joints[..., 2]
        rows["lifted"] |= _cells(lift(params, joints[..., :2]), joints, name)
        rows["mirrored truth"] |= _cells(-depths, joints, name)
        rows["zero depths"] |= _cells(np.zeros_like(depths), joints, name)
        truth |= _cells(depths, joints, name)
    table = make_table(
        "Depths of 2D poses",
        rows,
        truth=truth,
        bare_body=NotAvailable("not applicable", "depths are compared, not bodies"),
    )
    write_table(folder, table, overwrite=config.overwrite)
    print(markdown(table))
    print(f"{folder}: scores.json, scores.csv, scores.md")


def held_out_people(num_people: int, *, layout: str, seed: int) -> np.ndarray:
    """Draws people whom no training has seen, each seen by one camera.

    Args:
        num_people: Number of people.
        layout: As in `poses_2d.joint_mixture`.
        seed: An odd number; trainings use even ones.

    Returns:
        `(num_people, 17, 3)` metres, x right, y down, depth away from the camera.
    """
    joints = sample_joints(num_people, seed=seed, layout=layout)
    return view_joints(np.random.default_rng(seed), joints)


def read_body_poses(path: str | Path, *, layout: str) -> np.ndarray:
    """Reads poses of the body; each is given to the mean body and seen by one camera.

    Args:
        path: `.npz` with the array pose `(N, 24, 3)`, axis-angle; its root says how
            people stand or lie, their heading is drawn anew.
        layout: As in `poses_2d.joint_mixture`.

    Returns:
        As `held_out_people`.

    Raises:
        InputError: If the file cannot be used.
    """
    path = need_file(Path(path), "give a .npz file with the array pose (N, 24, 3)")
    pose = number_array(read_npz_array(path, "pose"), (None, 24, 3), path, "pose")
    if not len(pose):
        raise InputError(f"{path}: it holds no pose; give at least one")
    model = load_template()
    shapes = np.zeros((len(pose), model.num_shape), np.float32)
    joints = joints_from_poses(model, pose, shapes, layout=layout)
    return view_joints(np.random.default_rng(0), joints, lean=False)


def _train_seed(seed: int) -> int:
    return 2 * seed


def _cells(depths, joints, name) -> Cells:
    """Scores of depths; depths of 0 have no sign."""
    scores: dict = score_depths(np.asarray(depths), joints, data=name)
    if not np.any(depths):
        for metric in METRICS[3:]:
            if f"{metric}, {name}" in scores:
                scores[f"{metric}, {name}"] = NotAvailable("not applicable", _NO_SIGN)
    return scores
