"""Small tasks and data for the tests of training, and a program that trains one.

The program is for tests that kill it: `python training_toy.py '{"workdir": ...}'`.
"""

import csv
import json
import resource
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from volhuman.training import optimizer, parallel
from volhuman.training.arrays import to_arrays
from volhuman.training.config import TrainOptions
from volhuman.training.loop import train
from volhuman.training.stop import TrainingStopped
from volhuman.training.task import Task

WIDTH = 16
BATCH = 16


class Numbers:
    """Batches that are a function of their number, with a position.

    Attributes:
        hooks: Functions by number, called before that batch is made.
    """

    def __init__(self, batch_size, *, seed=0, shard=(0, 1), count=None, hooks=None):
        self.batch_size, self.seed, self.shard = batch_size, seed, shard
        self.count, self.hooks, self.number = count, hooks or {}, 0

    def __next__(self):
        if self.number == self.count:
            raise StopIteration
        self.hooks.get(self.number, lambda: None)()
        generator = np.random.default_rng([self.seed, self.number])
        x = generator.normal(size=(self.batch_size * self.shard[1], 3))
        x = np.split(x.astype(np.float32), self.shard[1])[self.shard[0]]
        self.number += 1
        return {"x": x, "y": np.sin(x.sum(1, keepdims=True))}

    def get_state(self):
        return {"number": self.number}

    def set_state(self, state):
        self.number = state["number"]


def _init_params(key):
    first, second = jax.random.split(key)
    return {
        "first": {
            "kernel": jax.random.normal(first, (3, WIDTH)),
            "bias": jnp.zeros(WIDTH),
        },
        "second": {"kernel": jax.random.normal(second, (WIDTH, 1)) / WIDTH},
    }


def _predict(params, x):
    hidden = jnp.tanh(x @ params["first"]["kernel"] + params["first"]["bias"])
    return hidden @ params["second"]["kernel"]


def regression(tx=None, *, noise=0.01, ballast=0, spoil=None):
    """A regression with Adam, an average of the parameters and noise on the input.

    Args:
        tx: Optimiser.
        noise: Standard deviation of the noise.
        ballast: Additional numbers in the state, so that saving takes time.
        spoil: (name, step): "loss" or "state" becomes NaN in that step.
    """
    tx = tx or optimizer.adam(0.01)
    what, when = spoil or ("", -1)

    def init(key):
        params = _init_params(key)
        return {
            "params": params,
            "optimizer": tx.init(params),
            "average": params,
            "step": jnp.zeros((), jnp.int32),
            "key": key,
            "nothing": jnp.zeros((0, 3)),
            "ballast": jnp.zeros(ballast),
        }

    def update(state, batch, key, axis_name=None):
        x = batch["x"] + noise * jax.random.normal(key, batch["x"].shape)

        def loss_of(params):
            return jnp.mean((_predict(params, x) - batch["y"]) ** 2)

        loss, gradients = jax.value_and_grad(loss_of)(state["params"])
        loss, gradients = parallel.average((loss, gradients), axis_name)
        updates, tx_state = tx.update(gradients, state["optimizer"], state["params"])
        params = optax.apply_updates(state["params"], updates)
        average = optimizer.exponential_moving_average(
            state["average"], params, decay=0.9
        )
        bad = jnp.where(state["step"] == when - 1, jnp.nan, 0.0)
        ballast = state["ballast"] + (bad if what == "state" else 0.0)
        new = {"params": params, "optimizer": tx_state, "average": average}
        new |= {"step": state["step"] + 1, "ballast": ballast}
        metrics = {"loss": loss + (bad if what == "loss" else 0.0), "size": loss * 0}
        return state | new, metrics

    def evaluate(state, batch, key):
        error = (_predict(state["average"], batch["x"]) - batch["y"]) ** 2
        pictures = jnp.broadcast_to(error[:, :, None, None], (len(error), 4, 6, 3))
        return {"error": error.mean()}, {"errors": pictures}

    return Task(init, update, evaluate)


def adversarial(*, noise=1.0):
    """Two networks against each other, each with an optimiser of its own."""
    tx = {name: optimizer.adam(0.01) for name in ("generator", "discriminator")}

    def init(key):
        keys = dict(zip(tx, jax.random.split(key)))
        params = {name: _init_params(key) for name, key in keys.items()}
        return {
            "params": params,
            "optimizers": {name: tx[name].init(params[name]) for name in tx},
        }

    def update(state, batch, key, axis_name=None):
        x = batch["x"] + noise * jax.random.normal(key, batch["x"].shape)

        def score(params, values):
            return _predict(params, jnp.tile(values, (1, 3)))

        def discriminate(params, others):
            fake = score(params, _predict(others["generator"], x))
            real = score(params, batch["y"])
            return jnp.mean(jax.nn.softplus(fake) + jax.nn.softplus(-real))

        def generate(params, others):
            fake = score(others["discriminator"], _predict(params, x))
            return jnp.mean(jax.nn.softplus(-fake))

        losses = {"generator": generate, "discriminator": discriminate}
        params, states, metrics = dict(state["params"]), dict(state["optimizers"]), {}
        for name in ("discriminator", "generator"):
            loss, gradients = parallel.average(
                jax.value_and_grad(losses[name])(params[name], params), axis_name
            )
            updates, states[name] = tx[name].update(gradients, states[name])
            params[name] = optax.apply_updates(params[name], updates)
            metrics[name] = loss
        return {"params": params, "optimizers": states}, metrics

    return Task(init, update)


def options(folder, **changes):
    """Options for 20 steps on one device with a row every step."""
    options = {"workdir": str(folder), "steps": 20, "batch_size": BATCH, "log_every": 1}
    return TrainOptions(**options | {"num_devices": 1, "save_every": 100} | changes)


def rows(folder, kind="training"):
    """Rows of a table of metrics as numbers."""
    with (Path(folder) / f"{kind}.csv").open() as file:
        return [
            {name: float(value) for name, value in row.items()}
            for row in csv.DictReader(file)
        ]


def losses(folder, name="loss"):
    """One metric of every row."""
    return [row[name] for row in rows(folder)]


def assert_same(first, second):
    """Asserts that two states agree in every bit."""
    first, second = to_arrays(first), to_arrays(second)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def _limit_files(size):
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


def main(argument):
    """Trains the regression; returns the exit code."""
    # tensorboardX imports it where it is installed, which takes seconds.
    sys.modules["torch"] = None
    given = json.loads(argument)
    ballast, limits = given.pop("ballast", 0), given.pop("limits", {})
    options = TrainOptions(**given)
    parallel.connect(options)
    hooks = {int(n): lambda size=size: _limit_files(size) for n, size in limits.items()}
    batches = Numbers(**parallel.loader_options(options), hooks=hooks)
    validation = Numbers(**parallel.loader_options(options), count=2)
    task = regression(ballast=ballast)
    try:
        train(task, batches, options, validation=validation)
    except TrainingStopped as stop:
        print(stop, file=sys.stderr)
        return stop.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
