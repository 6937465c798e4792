"""The tests; a package, because ppi-python installs one of this name."""
