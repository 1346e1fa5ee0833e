"""Stands in for the renderer: small examples that cost nothing.

A module of its own, because worker processes import it by name.
"""

import dataclasses
import io
import os
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image


@dataclasses.dataclass(frozen=True)
class FieldSpec:
    kind: str
    shape: tuple[int | None, ...]
    dtype: str
    description: str


def record_features(variant, size):
    return {
        "image": FieldSpec("image", (size, size, 3), "uint8", "Colour noise."),
        "mask": FieldSpec("tensor", (size, size), "bool", "True on the person."),
        "joints": FieldSpec("tensor", (24, 3), "float32", "Pixels x, y, z."),
        "vertex": FieldSpec("tensor", (None,), "int32", "Vertex numbers."),
        "seed": FieldSpec("tensor", (), "int64", "Seed of the person."),
        "recipe": FieldSpec("text", (), "str", "Clothes."),
    }


def person_records(seed, *, variant, size):
    """One to three examples, as the seed says."""
    rng = np.random.default_rng(seed)
    records = []
    for number in range(1 + seed % 3):
        picture = io.BytesIO()
        pixels = rng.integers(0, 256, (size, size, 3), np.uint8)
        Image.fromarray(pixels).save(picture, "PNG")
        records.append(
            {
                "image": picture.getvalue(),
                "mask": pixels[..., 0] > 100,
                "joints": rng.normal(size=(24, 3)).astype(np.float32),
                "vertex": rng.integers(0, 99, int(rng.integers(0, 9)), np.int32),
                "seed": np.int64(seed),
                "recipe": f"{variant} {number}",
            }
        )
    return records


def slow_records(seed, *, variant, size):
    """Leaves a trace of every person begun, so that a test can count them."""
    with Path(os.environ["TRACE"]).open("a") as file:
        file.write(f"{seed} {os.getpid()} {os.environ['OMP_NUM_THREADS']} ")
        file.write(f"{os.environ['JAX_PLATFORMS']}\n")
    time.sleep(float(os.environ.get("SECONDS_A_PERSON", 0.1)))
    return person_records(seed, variant=variant, size=size)


def failing_records(seed, *, variant, size):
    raise RuntimeError("no such trousers")


def dying_records(seed, *, variant, size):
    os._exit(9)


def heavy_modules(seed, *, variant, size):
    """Fails with the names of modules that a worker should not import."""
    heavy = {"jax", "tensorflow_datasets", "tensorflow"} & set(sys.modules)
    raise RuntimeError(f"heavy: {sorted(heavy)}")


def small_records(seed, *, variant, size):
    """Half the size that was asked for."""
    return person_records(seed, variant=variant, size=size // 2)
