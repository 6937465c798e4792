"""Evaluate systems by their ratings and metrics by their agreement with ratings.

In all modules, `ratings` has the columns that `ratings.check_ratings` describes, `instructions` has
instruction_id and person_id, `bootstrap` resamples patients, and x_low and x_high are the bounds of
the 95 % interval of x.
"""
