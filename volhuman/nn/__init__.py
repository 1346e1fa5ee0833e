"""Flax blocks that more than one system is built from."""
