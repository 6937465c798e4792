"""Questions with responses that answer them rightly and wrongly."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Question(NamedTuple):
    """An instruction, its fact, and responses."""

    instruction: str
    fact: dict
    right: Sequence[str]
    wrong: Sequence[str]


def cases(questions: Sequence[Question]) -> Iterator[tuple[str, str, dict, bool]]:
    """Yield each response with the instruction, the fact and whether it is right."""
    for question in questions:
        for responses, is_right in ((question.right, True), (question.wrong, False)):
            for response in responses:
                yield response, question.instruction, question.fact, is_right
