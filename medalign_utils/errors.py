"""The package's own errors: what a user can put right, said in one line."""

import difflib
from collections.abc import Iterable


class MedAlignError(ValueError):
    """Bad input; the message names the file or function, what was found and what was expected."""


class ReleaseError(MedAlignError):
    """A release's folder, table or manifest is not as expected."""


class EHRError(MedAlignError):
    """One patient's EHR file cannot be read."""


class ParamsError(MedAlignError):
    """An experiment's or a system's YAML file asks for something that does not exist."""


class PromptError(MedAlignError):
    """An instruction and its record cannot be packed into the system's context."""


class TermsError(MedAlignError):
    """What is asked for would break a release's terms of use."""


class NotAvailableError(MedAlignError):
    """What a metric needs is not available on this machine now; the request itself is right."""


class IncompleteError(MedAlignError):
    """Some prompts of a run have no response; the reasons are kept, and a new run tries them."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the nearest known one, or all of them.

    >>> suggest("rouge", ["rouge_l", "chrf"]), suggest("x", ["rouge_l", "chrf"])
    ("; did you mean 'rouge_l'?", '; known: chrf, rouge_l')
    """
    names = sorted(set(known))
    if close := difflib.get_close_matches(name, names, n=1):
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}"
