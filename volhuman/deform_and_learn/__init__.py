"""Fitting bodies to annotations, and learning from the fits."""
