"""Other wordings of a release's instructions, among the instructions as submitted."""

import pandas as pd

from medalign_utils.data.release import Release, load_submitted
from medalign_utils.data.release_tables import INSTRUCTION_COLUMNS


def find_rewordings(release: Release) -> pd.DataFrame:
    """Return the submitted rewordings of a release's instructions, sorted by patient.

    Each is about the same patient as its original, an instruction with a reference, and is not
    itself in the release. There are none without a table of submissions, or without an answer key,
    because only its facts hold for both wordings. Columns: instruction_id, question, category,
    subcategory, submitter_specialty, person_id, and duplicate_of, the original.
    """
    known = release.instructions[["instruction_id", "person_id", "category", "subcategory"]]
    known = known.rename(columns={"instruction_id": "duplicate_of"})
    originals = known[known["duplicate_of"].isin(release.references["instruction_id"])]
    submitted = load_submitted(release)
    found = submitted[~submitted["instruction_id"].isin(known["duplicate_of"])]
    if release.answer_key_path is None:
        found = found[:0]
    found = found.dropna(subset=["question", "person_id"])
    found = found.merge(originals, on=["duplicate_of", "person_id"])
    found = found.sort_values("person_id", kind="stable", ignore_index=True)
    return found[[*INSTRUCTION_COLUMNS, "duplicate_of"]]
