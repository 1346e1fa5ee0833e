"""Package metadata; tool settings live in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="volhuman",
    version="0.1.0",
    description="A person from a photograph: body, clothed surface, and a new pose.",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["volhuman", "volhuman.*"]),
    package_data={"volhuman": ["py.typed", "assets/*"]},
    install_requires=[
        "jax>=0.10,<0.13",
        "jaxlib>=0.10,<0.13",
        "flax>=0.12,<0.13",
        "optax>=0.2.8,<0.3",
        "orbax-checkpoint>=0.12,<0.13",
        "numpy>=2.0,<3",
        "dm-pix>=0.4.5,<0.5",
        "tensorflow-datasets>=4.9.10,<4.10",
        "trimesh>=5.0,<6",
        "absl-py>=2.1,<3",
        "ml_collections>=1.1,<2",
        "grain>=0.2.18,<0.3",
        "tqdm>=4.66,<5",
        "tensorboardX>=2.6.5,<3",
        "Pillow>=12.3,<14",
        "scikit-image>=0.26,<0.27",
        "scipy>=1.15,<2",
        "safetensors>=0.5,<1",
        "matplotlib>=3.10,<4",
    ],
    extras_require={
        "video": ["imageio>=2.37,<3", "imageio-ffmpeg>=0.6,<1"],
        # People-Snapshot stores masks and poses in HDF5, Keras its weights.
        "datasets": ["h5py>=3.12,<4"],
        # rtree: trimesh needs it for the ray tests that the suite compares with.
        "dev": [
            "h5py>=3.12,<4",
            "pytest>=8,<10",
            "pytest-xdist>=3.6,<4",
            "rtree>=1.4,<2",
            "ruff>=0.15,<1",
        ],
        "bench": [
            "roma>=1.5",
            "smplx>=0.1.28",
            "open3d>=0.19",
            "libigl>=2.6",
            "rtree>=1.4",
            "torch>=2.8",
        ],
        "convert": ["torch>=2.8", "tensorflow>=2.20,<3"],
        "notebooks": ["jupyterlab>=4"],
        "demo": ["gradio>=5"],
    },
)
