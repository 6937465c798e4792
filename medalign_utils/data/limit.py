"""Limit a release to some of its instructions, for a trial run."""

from dataclasses import replace

from medalign_utils.data.release import Release, instructions_to_answer
from medalign_utils.data.release_tables import REVIEWS_FILE, read_release_table


def limited(release: Release, n: int) -> Release:
    """Return a release with only n of the instructions that systems answer.

    The first instruction of each patient comes first, in the order of the release, then the second
    of each patient and so on, so that n instructions cover as many patients as possible.
    Instructions with a reference come before others, and if the release has reviews, those that
    have one before all others. A larger n only adds instructions. If there are no more than n, the
    release is returned as it is.
    """
    asked = instructions_to_answer(release).sort_index()
    if n >= len(asked):
        return release
    turn = asked.groupby("person_id").cumcount()
    reviews = read_release_table(release.path, REVIEWS_FILE, release.columns)
    if reviews:
        is_reviewed = asked["instruction_id"].isin(reviews.frame["instruction_id"])
        turn += len(asked) * ~is_reviewed
    has_reference = asked["instruction_id"].isin(release.references["instruction_id"])
    turn += 2 * len(asked) * ~has_reference
    chosen = asked["instruction_id"][turn.sort_values(kind="stable").index[:n]]
    parts = (
        table[table["instruction_id"].isin(chosen)].reset_index(drop=True)
        for table in (release.instructions, release.references)
    )
    instructions, references = parts
    return replace(
        release, instructions=instructions, references=references, limited_from=len(asked)
    )
