"""Metrics whose numbers can be compared: definitions, protocols, intervals, tables."""
