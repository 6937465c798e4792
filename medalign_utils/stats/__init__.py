"""Statistics of clustered data: bootstraps, permutation tests and rank correlations."""
