"""Metrics: scores of responses against references."""
