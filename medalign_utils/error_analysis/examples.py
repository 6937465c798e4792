"""Chooses a few errors to show, spread over systems and kinds of error by a fixed rule."""

from collections import Counter

import pandas as pd

from medalign_utils.error_analysis.outcomes import CORRECT


def choose_errors(responses: pd.DataFrame, n: int = 10) -> pd.DataFrame:
    """Return up to `n` wrong responses, in the order in which they are chosen.

    `responses` has system, instruction_id, outcome and prompt. The next response is one whose
    instruction was shown least so far, then whose outcome, whose system, and whose outcome together
    with `prompt` were; the first in the table among equals.

    >>> errors = pd.DataFrame({"system": list("aab"), "instruction_id": list("121"),
    ...     "outcome": ["contradicted", "contradicted", "abstained"], "prompt": None})
    >>> choose_errors(errors, 2).index.tolist()
    [0, 1]
    """
    errors = responses[responses["outcome"] != CORRECT]
    keys = {
        row.Index: (
            ("instruction", row.instruction_id),
            ("outcome", row.outcome),
            ("system", row.system),
            ("outcome and prompt", row.outcome, row.prompt),
        )
        for row in errors.itertuples()
    }
    chosen, uses = [], Counter()
    while keys and len(chosen) < n:
        best = min(keys, key=lambda place: [uses[key] for key in keys[place]])
        uses.update(keys.pop(best))
        chosen.append(best)
    return errors.loc[chosen]
