"""What describes a system, and whether all that it names exists."""

import functools
import inspect
import json
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from medalign_utils.data.ehr import FORMATS
from medalign_utils.errors import ParamsError
from medalign_utils.generation.openai_api import host_of
from medalign_utils.generation.registry import GENERATORS, Generator
from medalign_utils.paths import resolve
from medalign_utils.prompts.context import STRATEGIES
from medalign_utils.prompts.retrieval import RETRIEVERS
from medalign_utils.prompts.templates import RESPONSE_TOKENS
from medalign_utils.prompts.tokenizers import load_tokenizer

_REQUIRED_KEYS = ("generator", "context_length", "format")
_OPTIONAL_KEYS = ("strategy", "tokenizer", "chat_template")
# Names of the system, and what is known of it; they change neither prompts nor answers.
_KNOWN_OF_IT = ("system", "label", "price_per_million", "tokens_per_second", "covered_by")
# Options of generators that say where and how fast they run, not what they answer.
_RUNNING_KEYS = (
    "api_key_env",
    "attempts",
    "base_url",
    "batch_size",
    "concurrency",
    "device",
    "timeout_s",
)
# What the workflow cuts a system's work into, and what its jobs ask for.
_JOB_KEYS = ("shards", "resources")
_RESOURCES = {"cores": 1, "memory_gb": 8, "hours": 12, "gpus": 0}
# A language model in this process, unless its device is the CPU, needs one.
_GPU_JOB = {"cores": 4, "memory_gb": 48, "hours": 24, "gpus": 1}


def check_system(system: Mapping[str, Any]) -> None:
    """Check a system before anything is read.

    Args:
        system: ``generator``, a name in `GENERATORS`; ``context_length`` in tokens, or None for
            the full record; ``format`` of the EHR, "lines" or "markup"; ``tokenizer``, see
            :func:`load_tokenizer`, which defaults to the ``model`` of the
            generator "huggingface"; ``strategy``, a name in `STRATEGIES`, "truncate" unless said
            otherwise; ``chat_template``, see `load_tokenizer`; the options of
            generator and strategy. Of what is known of it: ``label`` and ``system``, its names;
            ``price_per_million`` and ``tokens_per_second``, each ``{input: number, output:
            number}``; ``covered_by``, ``{host: agreement}``, see `terms.check_terms`. Of its jobs:
            ``shards``, how many of them generate and score, 1 unless said otherwise; ``resources``,
            see :func:`job_resources`.

    Raises:
        ParamsError: in one line, what was found and what there is. A tokenizer on Hugging Face is
            not looked for yet.

    >>> check_system({"generator": "oracle", "context_length": 2048, "format": "lines",
    ...     "tokenizer": "minilm"})
    Traceback (most recent call last):
    ...
    medalign_utils.errors.ParamsError: no generator 'oracle'; there are bm25_passage, huggingface, \
minilm_passage, openai, random_passage, recent_note
    """
    if missing := [key for key in _REQUIRED_KEYS if key not in system]:
        raise ParamsError(
            f"the system lacks {', '.join(missing)}; it has {', '.join(map(str, system))}"
        )
    _check_json(system)
    _check_known("generator", system["generator"], GENERATORS)
    _check_known("format", system["format"], FORMATS)
    _check_known("strategy", system.get("strategy", "truncate"), STRATEGIES)
    _check_context_length(system["context_length"])
    if system.get("strategy", "truncate") != "truncate" and system["context_length"] is None:
        raise ParamsError(f"strategy {system['strategy']} needs a context_length, found none")
    if system.get("strategy") == "retrieve" and system["format"] != "lines":
        raise ParamsError("strategy retrieve needs format: lines, in which passages can be told")
    _check_options(system)
    _check_numbers("price_per_million", system.get("price_per_million"), least=0)
    _check_numbers("tokens_per_second", system.get("tokens_per_second"), least=1e-9)
    _check_covered_by(system.get("covered_by"))
    _check_jobs(system.get("shards", 1), system.get("resources", {}))
    name = tokenizer_name(system)
    if not isinstance(name, str):
        raise ParamsError(
            f"tokenizer: found {name!r}, expected the name of one to count tokens by: minilm, a "
            "folder, or a repository on Hugging Face"
        )
    if name == "minilm" or Path(name).is_dir():
        _check_tokenizer(name)


def tokenizer_name(system: Mapping[str, Any]) -> str | None:
    """The tokenizer by which a system's tokens are counted: the one it names, or its model's own.

    >>> tokenizer_name({"generator": "huggingface", "model": "microsoft/phi-4"})
    'microsoft/phi-4'
    """
    own = system.get("model") if system["generator"] == "huggingface" else None
    return _located(system.get("tokenizer", own))


def _located(name: Any) -> Any:
    """A folder by its full path, from wherever one looks; a hub's name as it is."""
    folder = isinstance(name, str) and name != "minilm" and resolve(name)
    return str(folder) if folder and folder.is_dir() else name


def make_generator(system: Mapping[str, Any]) -> Generator:
    """Make a system's generator; a language model may be loaded here.

    Raises:
        ParamsError: as the generator.
    """
    factory = GENERATORS[system["generator"]]
    names = inspect.signature(factory).parameters
    options = {key: value for key, value in system.items() if key in names}
    if "tokenizer" in names:
        options["tokenizer"] = tokenizer_name(system)
    if system["generator"] == "huggingface":
        options["model"] = _located(system["model"])
    return factory(**options)


def strategy_options(system: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a system says to its strategy.

    >>> strategy_options({"strategy": "retrieve", "retriever": "minilm", "seed": 1})
    {'retriever': 'minilm'}
    """
    names = _options(STRATEGIES[system.get("strategy", "truncate")])
    return {key: value for key, value in system.items() if key in names}


def shaping_settings(system: Mapping[str, Any]) -> dict[str, Any]:
    """Give what of a system shapes prompts and answers: not its names, nor where it runs.

    >>> shaping_settings({"label": "Random", "generator": "random_passage", "seed": 1})
    {'strategy': 'truncate', 'generator': 'random_passage', 'seed': 1}
    """
    other = (*_KNOWN_OF_IT, *_RUNNING_KEYS, *_JOB_KEYS)
    return {"strategy": "truncate"} | {k: v for k, v in system.items() if k not in other}


def job_resources(system: Mapping[str, Any], job: str) -> dict[str, int | float]:
    """What one job of a system asks of the machine or cluster that runs it.

    Args:
        system: what its YAML says; under ``resources``, by "generate" and "score", those of cores,
            memory_gb, hours and gpus that are to be other than usual.
        job: "generate" or "score".

    >>> job_resources({"generator": "openai"}, "score")
    {'cores': 1, 'memory_gb': 8, 'hours': 12, 'gpus': 0}
    >>> job_resources({"generator": "huggingface", "model": "microsoft/phi-4",
    ...     "resources": {"generate": {"hours": 72}}}, "generate")
    {'cores': 4, 'memory_gb': 48, 'hours': 72, 'gpus': 1}
    """
    loads_model = job == "generate" and system.get("generator") == "huggingface"
    usual = _GPU_JOB if loads_model and system.get("device") != "cpu" else _RESOURCES
    return usual | system.get("resources", {}).get(job, {})


def _options(function: Callable) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(function).parameters
    keyword_only = inspect.Parameter.KEYWORD_ONLY
    return {name: p for name, p in parameters.items() if p.kind is keyword_only}


def _check_options(system: Mapping[str, Any]) -> None:
    strategy = system.get("strategy", "truncate")
    of_generator = _options(GENERATORS[system["generator"]])
    accepted = of_generator | _options(STRATEGIES[strategy])
    own = (*_REQUIRED_KEYS, *_OPTIONAL_KEYS, *_KNOWN_OF_IT, *_JOB_KEYS)
    for option in system:
        if option not in own and option not in accepted:
            names = ", ".join(name for name in accepted if name not in own) or "none"
            raise ParamsError(
                f"no option {option!r} of generator {system['generator']} with strategy "
                f"{strategy}; there are: {names}"
            )
    for name, parameter in accepted.items():
        if parameter.default is parameter.empty and name != "tokenizer" and name not in system:
            raise ParamsError(f"generator {system['generator']} needs the option {name}")
        if name in system and not _fits(system[name], parameter.annotation):
            expected = getattr(parameter.annotation, "__name__", str(parameter.annotation))
            # Its value is not repeated: a key may have been written in the wrong place.
            raise ParamsError(f"{name}: expected {expected}, found {type(system[name]).__name__}")
    if "base_url" in accepted:
        host_of(system["base_url"])
    _check_known("retriever", system.get("retriever", "bm25"), RETRIEVERS)


def _fits(value: object, annotation: Any) -> bool:
    """Whether a value is of the type by which an option is declared."""
    if kinds := typing.get_args(annotation) if typing.get_origin(annotation) is not Mapping else ():
        return any(_fits(value, kind) for kind in kinds)
    kind = typing.get_origin(annotation) or annotation
    if kind is inspect.Parameter.empty:
        return True
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _check_json(system: Mapping[str, Any]) -> None:
    """What a system says is kept as JSON with its responses, and must come back as it was."""
    try:
        same = json.loads(json.dumps(system)) == system
    except (TypeError, ValueError):
        same = False
    if not same:
        raise ParamsError(
            "it holds a date, a number as a key or another value that is no text, number, list or "
            "mapping of texts; put it in quotes"
        )


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


def _check_numbers(key: str, found: object, least: float) -> None:
    if found is None:
        return
    is_pair = isinstance(found, Mapping) and set(found) == {"input", "output"}
    if not is_pair or not all(
        isinstance(n, int | float) and not isinstance(n, bool) and n >= least
        for n in found.values()
    ):
        raise ParamsError(f"{key}: found {found!r}, expected {{input: number, output: number}}")


@functools.cache
def _check_tokenizer(name: str) -> None:
    """Hundreds of systems may have the same, and it takes a while to load."""
    load_tokenizer(name, chat_template=False)


def _check_jobs(shards: object, resources: object) -> None:
    if isinstance(shards, bool) or not isinstance(shards, int) or shards < 1:
        raise ParamsError(f"shards: found {shards!r}, expected a whole number from 1")
    by_job = resources if isinstance(resources, Mapping) else {"": None}
    for job, asked in by_job.items():
        if job not in ("generate", "score") or not isinstance(asked, Mapping):
            raise ParamsError(
                f"resources: found {resources!r}, expected {{generate: {{...}}, score: {{...}}}}"
            )
        for name, value in asked.items():
            _check_known(f"resource of {job}", name, _RESOURCES)
            least = 0 if name == "gpus" else 1 if name == "cores" else 1e-3
            whole = name in ("cores", "gpus")
            kinds = int if whole else int | float
            if isinstance(value, bool) or not isinstance(value, kinds) or value < least:
                raise ParamsError(
                    f"resources: {job}: {name}: found {value!r}, expected a "
                    f"{'whole ' if whole else ''}number from {least}"
                )


def _check_covered_by(found: object) -> None:
    if found is None:
        return
    if not isinstance(found, Mapping) or not found or not all(
        isinstance(text, str) and text.strip() for pair in found.items() for text in pair
    ):  # fmt: skip
        raise ParamsError(
            'covered_by: expected {host: agreement}, such as {api.example.org: "agreement no. 7"}'
        )
