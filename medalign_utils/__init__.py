"""MedAlign: load a release, run systems on it, score and evaluate their responses."""

__version__ = "0.2.0"
