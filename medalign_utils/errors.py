"""The package's errors, which explain in one line what the user can fix."""

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class MedAlignError(ValueError):
    """Bad input; the message names the file or function, what was found and what was expected."""

    def __str__(self) -> str:
        """Return the message, `printable`."""
        return printable(super().__str__())


class ReleaseError(MedAlignError):
    """A release's folder, table or manifest is not as expected."""


class EHRError(MedAlignError):
    """One patient's EHR file cannot be read."""


class ParamsError(MedAlignError):
    """An experiment's or a system's YAML file asks for something that does not exist."""


class PromptError(MedAlignError):
    """An instruction and its record cannot be packed into the system's context."""


class TermsError(MedAlignError):
    """The request would break a release's terms of use."""


class NotAvailableError(MedAlignError):
    """A metric's model is not on this machine and cannot be downloaded; the request is valid."""


class IncompleteError(MedAlignError):
    """Some prompts of a run have no response; a new run tries them again."""


def printable(text: str) -> str:
    r"""Return a text in which control characters and others that do not print are escaped.

    Text from data may otherwise move a terminal's cursor, or hide a part of a line.

    >>> print(printable("a\x1b[2Jb\u202ec\nd"))
    a\x1b[2Jb\u202ec
    d
    """
    if text.isprintable():
        return text
    escaped = (c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
    return "".join(escaped)


def masked(text: str) -> str:
    """Return a text with its letters and digits masked: error messages must not quote a record.

    >>> masked("10/08/2014 9 AM"), masked("seen by Dr. Who")
    ('##/##/#### # AA', 'aaaa aa Aa. Aaa')
    """
    form = re.sub(r"[^\W\d_]", lambda letter: "A" if letter[0].isupper() else "a", text[:40])
    return re.sub(r"\d", "#", form) + ("..." if text[40:] else "")


def shown_id(name: object) -> str:
    """Return an id for a message, masked if it may be text, which shifted cells put in its place.

    >>> shown_id("0501"), shown_id("Any chest pain?")
    ('0501', 'Aaa aaaaa aaaa?')
    """
    text = str(name)
    return text if len(text) <= 60 and not re.search(r"\s", text) else masked(text)


@contextmanager
def reading(
    path: Path, kind: type[MedAlignError] = ReleaseError, done: str = "read"
) -> Iterator[None]:
    """Raise an error of ours for an OSError, with the file that cannot be read, or else `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise kind(f"{error.filename or path}: cannot be {done} ({reason})") from None


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the closest known name, or up to ten.

    >>> suggest("rouge", ["rouge_l", "chrf"]), suggest("x", ["rouge_l", "chrf"])
    ("; did you mean 'rouge_l'?", '; known: chrf, rouge_l')
    >>> suggest("x", "abcdefghijkl")
    '; known: a, b, c, d, e, f, g, h, i, j and 2 more'
    """
    names = sorted(set(known))
    if close := difflib.get_close_matches(name, names, n=1):
        return f"; did you mean {close[0]!r}?"
    more = f" and {len(names) - 10} more" if names[10:] else ""
    return f"; known: {', '.join(names[:10])}{more}"
