"""The keys of a system's file, their checks, and the tokenizer and generator they define."""

import datetime
import functools
import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from medalign_utils.data.ehr import FORMATS
from medalign_utils.errors import MedAlignError, ParamsError, suggest
from medalign_utils.generation.base import LENGTH_KEYS, Generator, Sampling
from medalign_utils.generation.params_files import check_known, one_of
from medalign_utils.generation.registry import GENERATORS
from medalign_utils.paths import weights
from medalign_utils.prompts.context import STRATEGIES
from medalign_utils.prompts.gguf import find_gguf
from medalign_utils.prompts.retrieval import RETRIEVERS
from medalign_utils.prompts.templates import RESPONSE_TOKENS, read_wording
from medalign_utils.prompts.tokenizers import DATE, PromptTokenizer, load_tokenizer

# Keys that change neither prompts nor answers: names, prices, where and how fast a system runs.
_NOT_SHAPING = (
    "system", "price_per_million", "tokens_per_second", "covered_by", "api_key_env",
    "attempts", "base_url", "batch_size", "concurrency", "device", "timeout_s", "shards",
    "cut_prompts", "resources",
)  # fmt: skip
# For a language model in this process, unless its device is the CPU.
_GPU_JOB = {"cores": 4, "memory_gb": 48, "hours": 24, "gpus": 1}

# Many systems share a tokenizer, and loading it takes a while.
_load_tokenizer_once = functools.cache(load_tokenizer)


def _check_date(date: str) -> str:
    try:
        datetime.date.fromisoformat(date)
    except ValueError:
        raise ParamsError(f"date: found {date!r}, expected one such as {DATE!r}") from None
    return date


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, extra="forbid", protected_namespaces=())


class _Resources(_Strict):
    cores: pydantic.PositiveInt = 1
    memory_gb: pydantic.PositiveFloat = 8
    hours: pydantic.PositiveFloat = 12
    gpus: pydantic.NonNegativeInt = 0


_Text = Annotated[str, pydantic.StringConstraints(strip_whitespace=True, min_length=1)]


def _in_and_out(number: type) -> Any:
    return Annotated[dict[Literal["input", "output"], number], Field(min_length=2)] | None


class System(_Strict):
    """A system's YAML, without the options of its generator and strategy.

    Descriptions say what is allowed; error messages quote them.
    """

    generator: one_of("generator", GENERATORS)
    context_length: pydantic.PositiveInt | None = Field(
        description="a whole number, or nothing for the full record"
    )
    format: one_of("format", FORMATS)
    strategy: one_of("strategy", STRATEGIES) = "truncate"
    tokenizer: str | None = Field(
        None, description="minilm, a folder, or a repository on Hugging Face"
    )
    chat_template: str | bool | None = Field(None, description="Jinja, true, false or nothing")
    system: str | None = None
    chat_template_kwargs: dict[str, pydantic.JsonValue] = Field(
        {}, description="what the chat template reads, such as {enable_thinking: false}"
    )
    date: Annotated[str, pydantic.AfterValidator(_check_date)] = DATE
    prompt: dict[str, str] = Field(
        {}, description="{answer: template, refine: template, system: message}, or some of them"
    )
    price_per_million: _in_and_out(pydantic.NonNegativeFloat) = Field(
        None, description="{input: number, output: number}"
    )
    tokens_per_second: _in_and_out(pydantic.PositiveFloat) = Field(
        None, description="{input: number, output: number}, both above 0"
    )
    covered_by: Annotated[dict[_Text, _Text], Field(min_length=1)] | None = Field(
        None, description='{host: agreement}, such as {api.example.org: "agreement no. 7"}'
    )
    trust_remote_code: bool = Field(
        False, description="true or false; true runs the Python code that comes with the model"
    )
    # What to do if a server, by its own count, reads less of a prompt than it was sent.
    cut_prompts: Literal["stop", "record"] = "stop"
    shards: pydantic.PositiveInt = Field(1, description="a whole number from 1")
    resources: dict[Literal["generate", "score"], _Resources] = Field(
        {},
        description="{generate: {...}, score: {...}}, each with some of cores and gpus (whole "
        "numbers), memory_gb and hours",
    )

    @pydantic.model_validator(mode="after")
    def _check_together(self) -> "System":
        if self.strategy != "truncate" and self.context_length is None:
            raise ParamsError(f"strategy {self.strategy} needs a context_length")
        if self.strategy == "retrieve" and self.format != "lines":
            raise ParamsError("strategy retrieve needs format: lines, which has passages")
        if self.tokenizer is None and self.generator != "huggingface":
            expected = System.model_fields["tokenizer"].description
            raise ParamsError(f"tokenizer: found none, expected {expected}")
        return self


def check_system(system: Mapping[str, Any]) -> None:
    """Check a system before anything is read.

    Its keys are those of `System` and the keyword parameters of its generator and strategy. A
    tokenizer on Hugging Face is not looked up yet; it defaults to huggingface's ``model``.

    Raises:
        ParamsError: in one line, the key, what was found and what is allowed.
    """
    if not isinstance(system, Mapping):
        raise ParamsError(
            f"system: found {type(system).__name__}, expected a mapping, such as `load_system` of "
            "`medalign_utils.config` returns"
        )
    try:
        is_json = json.loads(json.dumps(system)) == system  # as it is kept with responses
    except (TypeError, ValueError):
        is_json = False
    if not is_json:
        raise ParamsError(
            "it holds a date, a number as a key or another value that is not text, a number, a "
            "list or a mapping of texts; put it in quotes"
        )
    generator = GENERATORS.get(str(system.get("generator")))
    strategy = STRATEGIES.get(str(system.get("strategy", "truncate")))
    options: dict[str, Any] = {}
    of_strategy = _options(strategy)
    if "max_new_tokens" not in _options(generator):  # of a fixed length
        of_strategy.pop("max_new_tokens", None)
    for name, option in (of_strategy | _options(generator)).items():
        if name not in System.model_fields:
            kind = Any if option.annotation is option.empty else option.annotation
            options[name] = (kind, ... if option.default is option.empty else option.default)
    model = pydantic.create_model("System", __base__=System, **options)
    try:
        model.model_validate(dict(system))
    except pydantic.ValidationError as error:
        raise ParamsError(_explain(error, system, model.model_fields)) from None
    limit, length = max_new_tokens(system), system["context_length"]
    if length is not None and length <= limit:
        raise ParamsError(
            f"context_length: found {length}, expected a whole number above {limit}, which are "
            "kept for the response, or nothing for the full record"
        )
    read_wording(system.get("prompt"))
    check_known("retriever", RETRIEVERS, system.get("retriever", "bm25"))
    if system["generator"] == "huggingface":
        _located(system["model"])
    name = tokenizer_name(system)
    if name == "minilm" or Path(name).is_dir():
        trust = system.get("trust_remote_code", False)
        _load_tokenizer_once(name, chat_template=False, trust_remote_code=trust)


def max_new_tokens(system: Mapping[str, Any]) -> int:
    """Return the most tokens of a response: `max_new_tokens`, or the length in ``request``."""
    request = system.get("request") or {}
    asked = [request.get(name) for name in LENGTH_KEYS] + [system.get("max_new_tokens")]
    limits = {limit for limit in asked if limit is not None}
    if len(limits) > 1:
        raise ParamsError(
            f"max_new_tokens and request name several lengths: {', '.join(map(str, limits))}"
        )
    return limits.pop() if limits else RESPONSE_TOKENS


def concurrency(system: Mapping[str, Any]) -> int:
    """Return how many calls of its generator a system makes at a time."""
    option = inspect.signature(GENERATORS[system["generator"]]).parameters.get("concurrency")
    return system.get("concurrency", option.default) if option else 1


def system_tokenizer(system: Mapping[str, Any]) -> PromptTokenizer:
    """Return a system's tokenizer with its chat template, rendered for the system's date."""
    return load_tokenizer(
        tokenizer_name(system),
        system.get("chat_template"),
        system.get("chat_template_kwargs"),
        date=system.get("date", DATE),
        wording=read_wording(system.get("prompt")),
        trust_remote_code=system.get("trust_remote_code", False),
    )


def _explain(
    error: pydantic.ValidationError, system: Mapping[str, Any], fields: Mapping[str, Any]
) -> str:
    """Return the first fault in one line: the key, what was found, what is allowed."""
    faults = error.errors(include_url=False)
    # The other keys depend on generator and strategy, so the faults of these come first.
    faults.sort(key=lambda fault: fault["loc"][:1] not in [("generator",), ("strategy",)])
    missing = [fault["loc"][0] for fault in faults if fault["type"] == "missing"]
    # A misspelt key is also a missing one; its suggestion helps more.
    misspelt = [f for f in faults if f["loc"] and f["loc"][0] in {*system} - {*fields}]
    if not misspelt and (missing := [key for key in missing if key not in system]):
        return f"the system lacks {', '.join(missing)}; it has {', '.join(system)}"
    fault = faults[0] if faults[0]["type"] == "value_error" else (misspelt or faults)[0]
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    key = fault["loc"][0]
    if key not in fields:
        if key in Sampling.__annotations__ and "generation" in fields:
            return f"unknown key {key!r}; write generation: {{{key}: ...}}"
        return f"unknown key {key!r}{suggest(key, fields)}"
    path, found = [], system
    for part in fault["loc"]:  # which ends with the types of a union
        if not isinstance(found, Mapping) or part not in found:
            break
        path.append(part)
        found = found[part]
    # The text of an option may be a secret in the wrong place.
    is_plain = key in System.model_fields or isinstance(found, bool | int | float | None)
    shown = repr(found) if is_plain else type(found).__name__
    expected = fields[key].description
    if expected is None and fault["type"] in ("missing", "extra_forbidden"):
        inner = ": ".join(map(str, fault["loc"]))
        return f"{inner}: " + ("missing" if fault["type"] == "missing" else "unknown key")
    expected = expected or fault["msg"].removeprefix("Input should be ")
    expected = f"a number {expected}" if expected.startswith(("greater", "less")) else expected
    return f"{': '.join(path)}: found {shown}, expected {expected}"


def tokenizer_name(system: Mapping[str, Any]) -> str:
    """Return the name of a system's tokenizer, by default its model's; a path's is absolute."""
    return _located(system.get("tokenizer") or system["model"])


def _located(name: str) -> str:
    try:
        return name if name == "minilm" else find_gguf(name) or weights(name)
    except MedAlignError as error:
        raise ParamsError(f"model or tokenizer: {error}") from None


def make_generator(system: Mapping[str, Any], tokenizer: PromptTokenizer) -> Generator:
    """Return a system's generator; it raises a ParamsError for what it lacks, such as a key."""
    factory = GENERATORS[system["generator"]]
    names = inspect.signature(factory).parameters
    options = {key: value for key, value in system.items() if key in names}
    if "tokenizer" in names:
        options["tokenizer"] = tokenizer
    if system["generator"] == "huggingface":
        options["model"] = _located(system["model"])
    return factory(**options)


def strategy_options(system: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a system's strategy."""
    names = _options(STRATEGIES[system.get("strategy", "truncate")])
    chosen = {key: value for key, value in system.items() if key in names}
    return chosen | {"max_new_tokens": max_new_tokens(system)}


def shaping_settings(system: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a system that shape prompts and answers, including its strategy."""
    return {"strategy": "truncate"} | {k: v for k, v in system.items() if k not in _NOT_SHAPING}


def job_resources(system: Mapping[str, Any], job: str) -> dict[str, int | float]:
    """Return the cores, memory_gb, hours and gpus that one of a system's jobs asks for.

    `job` is "generate" or "score"; the system's ``resources`` replace the defaults.

    >>> job_resources({"generator": "huggingface", "model": "microsoft/phi-4",
    ...     "resources": {"generate": {"hours": 72}}}, "generate")
    {'cores': 4, 'memory_gb': 48, 'hours': 72, 'gpus': 1}
    """
    loads_model = job == "generate" and system.get("generator") == "huggingface"
    usual = _GPU_JOB if loads_model and system.get("device") != "cpu" else _Resources().model_dump()
    return usual | system.get("resources", {}).get(job, {})


def _options(function: Callable | None) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(function).parameters if function else {}
    return {name: p for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
