"""A widget to read a release's records in."""
