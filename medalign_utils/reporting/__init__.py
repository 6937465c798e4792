"""Provenance, result tables and the report of a run."""
