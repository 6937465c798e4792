"""What every metric asks of its columns before it starts."""

from collections.abc import Sequence

from medalign_utils.errors import MedAlignError


def check_texts(function: str, **columns: Sequence[str]) -> None:
    """Check that the columns of texts have one length and hold nothing but strings.

    Args:
        function: the metric's function, named in the error.
        columns: the columns by name.

    Raises:
        MedAlignError: the lengths differ, or a value is not a string (a missing one, for example).

    >>> check_texts("score_chrf", predictions=["a", "b"], references=["a"])
    Traceback (most recent call last):
    ...
    medalign_utils.errors.MedAlignError: score_chrf: 2 predictions, 1 references
    """
    if len({len(column) for column in columns.values()}) > 1:
        sizes = ", ".join(f"{len(column)} {name}" for name, column in columns.items())
        raise MedAlignError(f"{function}: {sizes}")
    for name, column in columns.items():
        for position, text in enumerate(column):
            if not isinstance(text, str):
                raise MedAlignError(
                    f"{function}: {name}[{position}] is {text!r}, expected a string "
                    "(an empty answer is '')"
                )
