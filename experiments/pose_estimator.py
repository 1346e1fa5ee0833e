"""Trains the pose estimator that scores reposed pictures, on the synthetic people.

Command: python experiments/pose_estimator.py --data_dir=data --workdir=output/pose
Hardware and time: one CPU core, 12,000 steps of 16 pictures, about half an hour.
Expected: output/pose/pose_estimator.safetensors, the mean error of the joints relative
to the pelvis over the training in validation.csv, and scores/ on the test people.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import app, flags
from PIL import Image

from volhuman.body.skeleton import MIRROR
from volhuman.data.augmentation import (
    augment_colour,
    augment_image,
    augment_joints,
    sample_geometry,
)
from volhuman.data.loader import make_loader, open_people
from volhuman.evaluation.pose_estimator import (
    SIZE,
    PoseEstimator,
    bone_lengths,
    estimate_joints,
    pose_distances,
)
from volhuman.evaluation.poses import auc_continuous
from volhuman.evaluation.protocol import NotAvailable, Protocol, summarize
from volhuman.evaluation.report import markdown, write_table
from volhuman.evaluation.tables import make_table
from volhuman.nn.soft_argmax import mean_places, surprise
from volhuman.training.config import TrainOptions
from volhuman.training.export import export_weights
from volhuman.training.loop import train
from volhuman.training.optimizer import (
    adam,
    exponential_moving_average,
    learning_rate_schedule,
)
from volhuman.training.parallel import average, loader_options
from volhuman.training.task import Task

_DATA = flags.DEFINE_string("data_dir", "data", "Folder of the data sets.")
_WORKDIR = flags.DEFINE_string("workdir", "output/pose", "Folder of the run.")
_PEOPLE = flags.DEFINE_integer("num_people", 0, "People in the set; 0 for the only.")
_REGISTRATIONS = flags.DEFINE_integer(
    "registrations", 0, "Size of the registrations to learn from too; 0 for none."
)
_STEPS = flags.DEFINE_integer("steps", 12_000, "Training steps.")
_RATE = flags.DEFINE_float("learning_rate", 2e-3, "Adam's rate, falling to 0.")

_BATCH = 16
_ENDS = ("source", "target")
_HUE, _SHIFT, _ANGLE, _SCALE = 20.0, 3.0, 0.1, 0.1  # degrees, pixels, radians, share
_SURPRISE, _SPREAD = 0.3, 0.15


def main(_) -> None:
    """Trains and exports."""
    options = TrainOptions(
        workdir=_WORKDIR.value,
        steps=_STEPS.value,
        batch_size=_BATCH,
        save_every=500,
        evaluate_every=500,
        evaluate_batches=0,
        log_every=100,
    )
    state = train(
        make_task(),
        make_loader(
            Pictures("train"), transform=read_picture, **loader_options(options)
        ),
        options,
        validation=make_loader(
            Pictures("validation"),
            batch_size=_BATCH,
            seed=0,
            num_epochs=1,
            shuffle=False,
            transform=read_picture,
        ),
    )
    digest = export_weights(
        Path(_WORKDIR.value) / "pose_estimator.safetensors",
        state["average"],
        config={"batch": _BATCH, "learning_rate": _RATE.value},
        step=_STEPS.value,
    )
    print(f"sha256 {digest}")
    measure(state["average"], digest[:12])


def measure(params: dict, label: str) -> None:
    """Measures the estimator on all test pictures; writes a table."""
    estimate = jax.jit(estimate_joints)
    errors, people = [], []
    for batch in make_loader(
        Pictures("test"),
        batch_size=_BATCH,
        seed=0,
        num_epochs=1,
        shuffle=False,
        transform=lambda r, g: read_picture(r, g) | {"person": r["person"]},
    ):
        people.extend(batch["person"])
        found = estimate(params, batch["image"] / np.float32(255))
        bones = 1000 * bone_lengths(batch["joints_body"]).sum(-1)
        errors.append(pose_distances(found, to_view(batch["joints"]), bones))
    distances = np.concatenate(errors)
    scores = {"MPJPE": distances.mean(-1), "pose AUC": auc_continuous(distances)}
    cells, perfect = {}, {}
    for name, values in scores.items():
        protocol = Protocol(
            metric=name,
            variant="24 joints",
            unit="mm" if name == "MPJPE" else "",
            higher_is_better=name != "MPJPE",
            data="test pictures of the pairs and the registrations",
            body_source=f"picture alone, estimator {label}",
            alignment="pelvis",
            extra={"scale": "true sum of bones"},
        )
        cells[protocol.label] = summarize(
            np.asarray(values), protocol, groups=np.array(people)
        )
        best = np.full(len(values), float(name != "MPJPE"))
        perfect[protocol.label] = summarize(best, protocol)
    table = make_table(
        "Joints in pictures of synthetic people",
        {"estimator": cells},
        truth=perfect,
        bare_body=NotAvailable("not applicable", "joints are compared, not bodies"),
    )
    write_table(Path(_WORKDIR.value) / "scores", table, overwrite=True)
    print(markdown(table))


class Pictures:
    """All pictures of the pairs, and of the registrations where they are built."""

    def __init__(self, split: str):
        people = _PEOPLE.value or None
        pairs = open_people(_DATA.value, "pairs", split, size=SIZE, num_people=people)
        self._places = [(pairs, n, f"_{e}") for n in range(len(pairs)) for e in _ENDS]
        if _REGISTRATIONS.value:
            single = open_people(
                _DATA.value, "registrations", split, size=_REGISTRATIONS.value
            )
            self._places += [(single, n, "") for n in range(len(single))]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> dict:
        source, number, end = self._places[index]
        record = source[number]
        fields = {name: record[f"{name}{end}"] for name in ("image", "joints")}
        return fields | {n: record[n] for n in ("joints_body", "person")}


def read_picture(record: dict, generator: np.random.Generator) -> dict:
    """Brings a picture to the estimator's size."""
    image, share = Image.fromarray(record["image"]), SIZE / len(record["image"])
    small = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX))
    joints = (share * record["joints"]).astype(np.float32)
    return {"image": small, "joints": joints, "joints_body": record["joints_body"]}


def to_view(joints: jax.Array) -> jax.Array:
    """Joints in the view cube, of joints in pixels of the estimator's pictures."""
    return joints * (2 / SIZE) - jnp.array([1.0, 1.0, 0.0])


def make_task() -> Task:
    """Regression of the joints: L1 in the view cube, and likelihood of their voxels.

    The means alone learn slowly: at first every voxel counts alike.
    """
    rate = learning_rate_schedule(
        "cosine", _RATE.value, steps=_STEPS.value, warmup=min(100, _STEPS.value - 1)
    )
    optimizer = adam(rate, clip_norm=1.0)
    estimate = lambda params, images: PoseEstimator().apply({"params": params}, images)

    def init(key):
        params = PoseEstimator().init(key, jnp.zeros((1, SIZE, SIZE, 3)))["params"]
        return {
            "step": jnp.zeros((), jnp.int32),
            "params": params,
            "average": jax.tree.map(jnp.copy, params),
            "optimizer": optimizer.init(params),
        }

    def update(state, batch, key, *, axis_name=None):
        keys = jax.random.split(key, len(batch["image"]))
        images, joints = jax.vmap(augment)(keys, batch["image"], batch["joints"])

        places = to_view(joints)

        def loss(params):
            likelihoods = PoseEstimator().apply(
                {"params": params}, images, method="likelihoods"
            )
            distance = jnp.abs(mean_places(likelihoods) - places).mean()
            surprises = surprise(likelihoods, places, spread=_SPREAD)
            return distance + _SURPRISE * surprises.mean()

        value, gradients = jax.value_and_grad(loss)(state["params"])
        updates, optimizer_state = optimizer.update(
            average(gradients, axis_name), state["optimizer"], state["params"]
        )
        params = optax.apply_updates(state["params"], updates)
        moved = exponential_moving_average(
            state["average"], params, decay=0.998, step=state["step"]
        )
        new = {
            "step": state["step"] + 1,
            "params": params,
            "average": moved,
            "optimizer": optimizer_state,
        }
        return new, average({"loss": value}, axis_name)

    def evaluate(state, batch, key):
        found = estimate(state["average"], batch["image"].astype(jnp.float32) / 255)
        bones = 1000 * bone_lengths(batch["joints_body"]).sum(-1)
        distances = pose_distances(found, to_view(batch["joints"]), bones)
        return {"error_mm": distances.mean()}, {}

    return Task(init, update, evaluate)


def augment(key, image, joints):
    """Changes colour and geometry, and blurs as painted pictures are blurred."""
    key_colour, key_geometry, key_blur = jax.random.split(key, 3)
    image = augment_colour(key_colour, image.astype(jnp.float32) / 255, hue=_HUE)
    geometry = sample_geometry(key_geometry, shift=_SHIFT, angle=_ANGLE, scale=_SCALE)
    image = augment_image(geometry, image)
    small = jax.image.resize(image, (SIZE // 2, SIZE // 2, 3), "linear")
    soft = jax.image.resize(small, image.shape, "linear")
    image = image + jax.random.uniform(key_blur) * (soft - image)
    return image, augment_joints(geometry, joints, (SIZE, SIZE), MIRROR)


if __name__ == "__main__":
    app.run(main)
