"""A widget for reading the records of a release."""
