"""Summarize and check a release, and repeat the paper's curation."""
