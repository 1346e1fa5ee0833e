"""The same seed gives the same bytes, in any process, on any processor."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from volhuman.people.records import VARIANTS, person_records

SEED, SIZE = 3, 64


def digests(variants, make=person_records):
    """Hash of every field of every record of a person."""
    found = {}
    for variant in variants:
        made = make(SEED, variant=variant, size=SIZE)
        for number, record in enumerate(made):
            for name, value in record.items():
                data = value.encode() if isinstance(value, str) else value
                if not isinstance(data, bytes):
                    array = np.asarray(value)
                    data = f"{array.dtype} {array.shape}".encode() + array.tobytes()
                found[f"{variant} {number} {name}"] = hashlib.sha256(data).hexdigest()
    return found


@pytest.fixture(scope="module")
def here(records_of):
    return digests(VARIANTS, records_of)


def elsewhere(variants, **variables):
    """The same from a new process with changed environment variables."""
    program = (
        "import json, runpy, sys; "
        "module = runpy.run_path(sys.argv[1]); "
        "print(json.dumps(module['digests'](sys.argv[2:])))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, __file__, *variants],
        env=os.environ | {"JAX_PLATFORMS": "cpu"} | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def different(first, second):
    """Fields that differ."""
    return [name for name in second if first[name] != second[name]]


def older_processor():
    """Environment in which NumPy and OpenBLAS use none of their newer instructions."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    names = [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]
    return {"NPY_DISABLE_CPU_FEATURES": " ".join(names), "OPENBLAS_CORETYPE": "Nehalem"}


def test_drawing_again_gives_the_same_bytes(here):
    again = digests(["pairs"])
    assert len(here) > 80 and len(again) > 30
    assert different(here, again) == []


def test_another_process_gives_the_same_bytes(here):
    assert different(here, elsewhere(["views"], PYTHONHASHSEED="77")) == []


def test_an_older_processor_gives_the_same_bytes(here):
    variables = older_processor()
    if not variables["NPY_DISABLE_CPU_FEATURES"]:
        pytest.skip("this processor has no instructions that NumPy could leave out")
    there = elsewhere(VARIANTS, **variables)
    assert there.keys() == here.keys()
    assert different(here, there) == []
