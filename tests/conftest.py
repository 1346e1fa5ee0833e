"""Eight virtual CPU devices, a cache of compiled programs, and the golden arrays."""

import os
import pathlib

# XLA:CPU before JAX 0.12 deadlocks with fewer threads than twice the devices.
os.environ.setdefault("NPROC", "16")
# Programs of networks take longer to compile than to run; 0 tests what users run.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import jax
import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_compilation_cache_dir", str(REPOSITORY / ".jax_cache"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.02)
# Folders whose programs take longer to run.
COMPUTING = {"body", "evaluation", "geometry"}


@pytest.fixture(autouse=True, scope="module")
def compile_as_the_folder_needs(request):
    quick = os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1"
    quick &= request.path.parent.name not in COMPUTING
    jax.config.update("jax_disable_most_optimizations", quick)


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder of golden arrays; tests that need it skip where it is absent."""
    folder = pathlib.Path(
        os.environ.get("VOLHUMAN_SHARED", REPOSITORY.parent / "shared")
    )
    if not (folder / "golden").is_dir():
        pytest.skip(
            f"no golden arrays in {folder}; set VOLHUMAN_SHARED to their folder"
        )
    return folder


@pytest.fixture(params=["plain", "jit"])
def variant(request):
    """Runs a test on the function as written and compiled."""
    return (lambda function: function) if request.param == "plain" else jax.jit


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(0)
