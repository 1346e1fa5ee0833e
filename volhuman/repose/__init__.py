"""Reposing humans by warping 3D features."""
