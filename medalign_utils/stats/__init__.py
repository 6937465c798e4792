"""Statistics for clustered data: bootstrap, permutation tests and rank correlation."""
