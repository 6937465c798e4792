"""What describes a system, and whether all that it names exists."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from tokenizers import Tokenizer

from medalign_utils.ehr import FORMATS
from medalign_utils.errors import ParamsError
from medalign_utils.generators import GENERATORS
from medalign_utils.prompts import RESPONSE_TOKENS, load_tokenizer

STRATEGIES = ("truncate",)

_REQUIRED_KEYS = ("generator", "context_length", "format", "tokenizer")
# Names of the system, which change neither prompts nor answers.
_NAME_KEYS = ("system", "label")


def check_system(system: Mapping[str, Any]) -> Tokenizer:
    """Check a system before anything is read.

    Args:
        system: ``generator``, a name in `GENERATORS`; ``context_length`` in tokens, or None for
            the full record; ``format`` of the EHR, "lines" or "markup"; ``tokenizer``, see
            :func:`medalign_utils.prompts.load_tokenizer`; ``strategy``, "truncate" unless said
            otherwise; optionally ``label`` and ``system``, its names; and the generator's options.

    Returns:
        The system's tokenizer.

    Raises:
        ParamsError: in one line, what was found and what there is.

    >>> check_system({"generator": "oracle", "context_length": 2048, "format": "lines",
    ...     "tokenizer": "minilm"})
    Traceback (most recent call last):
    ...
    medalign_utils.errors.ParamsError: no generator 'oracle'; there are bm25_passage, \
minilm_passage, random_passage, recent_note
    """
    if missing := [key for key in _REQUIRED_KEYS if key not in system]:
        raise ParamsError(f"the system lacks {', '.join(missing)}; it has {', '.join(system)}")
    _check_known("generator", system["generator"], GENERATORS)
    _check_known("format", system["format"], FORMATS)
    _check_known("strategy", system.get("strategy", "truncate"), STRATEGIES)
    _check_context_length(system["context_length"])
    parameters = inspect.signature(GENERATORS[system["generator"]]).parameters.values()
    for option in generator_options(system):
        if option not in {parameter.name for parameter in parameters}:
            accepted = ", ".join(parameter.name for parameter in parameters) or "none"
            raise ParamsError(
                f"no option {option!r} of generator {system['generator']}; there are: {accepted}"
            )
    for parameter in parameters:
        if parameter.default is parameter.empty and parameter.name not in system:
            raise ParamsError(f"generator {system['generator']} needs the option {parameter.name}")
    if not isinstance(system["tokenizer"], str):
        raise ParamsError(f"tokenizer: found {system['tokenizer']!r}, expected a name or a folder")
    return load_tokenizer(system["tokenizer"])


def generator_options(system: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a system says to its generator: every key that is not of the system itself.

    >>> generator_options({"generator": "random_passage", "context_length": 2048, "seed": 1})
    {'seed': 1}
    """
    own = (*_REQUIRED_KEYS, *_NAME_KEYS, "strategy")
    return {key: value for key, value in system.items() if key not in own}


def shaping_settings(system: Mapping[str, Any]) -> dict[str, Any]:
    """Give what of a system shapes prompts and answers: all but its names.

    >>> shaping_settings({"label": "Random", "generator": "random_passage", "seed": 1})
    {'strategy': 'truncate', 'generator': 'random_passage', 'seed': 1}
    """
    shaping = {key: value for key, value in system.items() if key not in _NAME_KEYS}
    return {"strategy": "truncate", **shaping}


def _check_known(what: str, name: object, known: Iterable[str]) -> None:
    if name not in tuple(known):
        raise ParamsError(f"no {what} {name!r}; there are {', '.join(known)}")


def _check_context_length(found: object) -> None:
    whole = isinstance(found, int) and not isinstance(found, bool)
    if found is not None and not (whole and found > RESPONSE_TOKENS):
        raise ParamsError(
            f"context_length: found {found!r}, expected a whole number above {RESPONSE_TOKENS}, "
            "which are kept for the response, or nothing for the full record"
        )
