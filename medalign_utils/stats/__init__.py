"""Statistics for data clustered by patient: bootstrap, permutation tests, rank correlation."""
