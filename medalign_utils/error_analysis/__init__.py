"""Describes errors: what went wrong in a response, and where its answer is in the record."""
