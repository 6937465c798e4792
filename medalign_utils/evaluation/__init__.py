"""Systems by their ratings, metrics by their agreement with these, and both beside the paper.

Throughout, `ratings` are as `ratings.check_ratings` describes, `instructions` has instruction_id
and person_id, `bootstrap` draws patients, and x_low and x_high bound the 95 % interval of x.
"""
