"""Records of a few synthetic people, as data sets hold them."""

import io

import numpy as np
import pytest
from PIL import Image

from volhuman.people.records import person_records

SIDE = 32


def _decoded(record):
    image = np.asarray(Image.open(io.BytesIO(record["image"])))
    return record | {"image": image}


@pytest.fixture(scope="session")
def people():
    """Eight registrations of two people in pictures of 32 pixels."""
    records = []
    for seed in (3, 4):
        records += person_records(seed, variant="registrations", size=SIDE)
    return [_decoded(record) for record in records]
