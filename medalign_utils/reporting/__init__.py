"""Provenance, result tables and the report of a run; also the jobs of the workflow."""
