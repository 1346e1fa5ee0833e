"""Hides advice of TensorFlow Datasets that does not apply here."""

import contextlib
from collections.abc import Iterator

import absl.logging


@contextlib.contextmanager
def without_advice() -> Iterator[None]:
    """Hides the warning that a configuration is not in a builder's list."""
    before = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.ERROR)
    try:
        yield
    finally:
        absl.logging.set_verbosity(before)
