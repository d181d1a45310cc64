"""Bugs that are planted on purpose, to show that the suite can fail: ``make planted``."""
