"""volhuman: a person from a photograph. See README.md."""

__version__ = "0.1.0"
