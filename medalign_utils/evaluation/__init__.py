"""Systems by their ratings, metrics by their agreement with these, and both beside the paper."""
