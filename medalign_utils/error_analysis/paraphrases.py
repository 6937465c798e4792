"""Whether a verdict stays the same if the same patient's instruction is worded differently."""

from itertools import combinations

import numpy as np
import pandas as pd

from medalign_utils import paths
from medalign_utils.data.merging import LEAST_PATIENTS
from medalign_utils.data.release import Release, load_submitted
from medalign_utils.data.responses import read_responses
from medalign_utils.data.rewordings import find_rewordings
from medalign_utils.grading import load_answer_key, rate_with_answer_key
from medalign_utils.run import Run
from medalign_utils.stats.bootstrap import interval_columns
from medalign_utils.stats.proportions import proportions

_COLUMNS = "system n_pairs n_patients both_correct same same_low same_high".split()


def find_paraphrases(release: Release) -> pd.DataFrame:
    """Return the pairs of submitted instructions with the same request about the same patient.

    See `load_submitted`; where it has no requests, duplicates make the same. Columns: person_id,
    instruction_id, other_id.
    """
    submitted = load_submitted(release).dropna(subset="person_id")
    original = submitted["duplicate_of"].fillna(submitted["instruction_id"])
    request = submitted["request"].fillna(original)
    pairs = []
    for (person_id, _), ids in submitted.groupby(["person_id", request])["instruction_id"]:
        pairs += [(person_id, first, other) for first, other in combinations(ids, 2)]
    return pd.DataFrame(pairs, columns=["person_id", "instruction_id", "other_id"])


def with_rewordings(responses: pd.DataFrame, run: Run) -> pd.DataFrame:
    """Return the verdicts on responses and on those to rewordings: instruction_id, system, correct.

    Rewordings are graded by the facts of their originals; see `find_rewordings`. `responses` comes
    from `judge_responses`.

    Raises:
        MedAlignError: a system has not answered the rewordings, or the key lacks an original.
    """
    verdicts = responses[["instruction_id", "system", "correct"]]
    asked = find_rewordings(run.release)
    if asked.empty or run.source == "released":
        return verdicts
    files = [paths.rewordings(run.experiment, system) for system in run.systems]
    paths.require(run.experiment, *files)
    answers = pd.concat(map(read_responses, files), ignore_index=True)
    key = load_answer_key(run.release.answer_key_path)
    originals = asked.set_index("instruction_id")["duplicate_of"]
    facts = {i: key[original] for i, original in originals.items() if original in key}
    questions = asked.set_index("instruction_id")["question"].to_dict()
    ratings = rate_with_answer_key(answers, facts, questions)[list(verdicts)]
    return pd.concat([verdicts, ratings], ignore_index=True)


def stability(
    responses: pd.DataFrame, pairs: pd.DataFrame, *, is_restricted: bool = False
) -> pd.DataFrame:
    """Return how often each system's verdict is the same for both wordings.

    `responses` has instruction_id, system and correct; `pairs` comes from `find_paraphrases`. Pairs
    without two ratings are left out. Columns: system, n_pairs, n_patients, both_correct (a share),
    and same with its interval. A system has no row without pairs, and if the release is restricted,
    with pairs of fewer than 11 patients.
    """
    rated = responses.dropna(subset="correct")
    rows, least = [], LEAST_PATIENTS if is_restricted else 1
    for system, own in rated.groupby("system", sort=False):
        correct = own.set_index("instruction_id")["correct"].astype(float)
        both = pairs[pairs["instruction_id"].isin(correct.index)]
        both = both[both["other_id"].isin(correct.index)]
        if both["person_id"].nunique() < least:
            continue
        first, other = (correct[both[name]].to_numpy() for name in ("instruction_id", "other_id"))
        same = (first == other).astype(float)[:, np.newaxis]
        intervals = proportions(same, both["person_id"].to_numpy())
        row = {"system": system, "n_pairs": len(both), "n_patients": both["person_id"].nunique()}
        row["both_correct"] = (first * other).mean()
        rows.append(row | {k: v[0] for k, v in interval_columns("same", intervals).items()})
    return pd.DataFrame(rows, columns=_COLUMNS)
