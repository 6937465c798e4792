"""Read and check the YAML files in `params/`: experiments and systems.

The keys of an experiment (`params/<experiment>.yaml`) are parameters of the notebooks. A system
(`params/systems/<system>.yaml`) names a generator, its options, and how much of the record it
reads.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model

from medalign_utils.data.access import require_not_real
from medalign_utils.data.demographics import GROUPINGS
from medalign_utils.data.release import load_release
from medalign_utils.data.responses import SOURCES
from medalign_utils.errors import MedAlignError, ParamsError, suggest
from medalign_utils.evaluation.paper import SAME_MODEL
from medalign_utils.evaluation.paper import context_lengths as published_contexts
from medalign_utils.evaluation.ratings import (
    COMBINATIONS,
    RATINGS,
    common_ratings,
    has_ratings,
    rate,
)
from medalign_utils.fairness.perturbation import CHANGES
from medalign_utils.generation.params_files import check_name, one_of, read_yaml
from medalign_utils.generation.system import check_system, concurrency, shaping_settings
from medalign_utils.metrics.base import registered
from medalign_utils.paths import checkpoint, project_root, resolve, short, with_limit
from medalign_utils.prompts.templates import read_wording
from medalign_utils.provenance.notebook import notebook_parameters
from medalign_utils.run import Run

# Set by the workflow, or by a rater, never by an experiment's file.
JOB_KEYS = ("experiment", "save", "system", "shard", "shards", "rater")
# Experiments with these keys write their release; others read an existing one.
SYNTHETIC_KEYS = ("synthetic_patients", "synthetic_instructions", "synthetic_seed")

# A released system's name becomes part of the names of its score files.
_RELEASED_NAME = re.compile(r"[^/{}.\-\x00-\x1f][^/{}\x00-\x1f]*")


def _distinct(names: list[Any]) -> list[Any]:
    if repeated := sorted({str(name) for name in names if names.count(name) > 1}):
        raise ValueError(f"{', '.join(repeated)} named twice")
    return names


def _check_pairs(pairs: list[Any]) -> list[Any]:
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or {*map(str, pair)} - {*GROUPINGS}:
            raise ValueError(f"{pair!r}, expected two of {', '.join(GROUPINGS)}")
        # Two tables of the same pair, merged differently, would reveal more than either alone.
        if pair[0] == pair[1] or [sorted(other) for other in pairs].count(sorted(pair)) > 1:
            raise ValueError(f"{' x '.join(pair)} named twice")
    return pairs


_WITH_WEIGHTS = [name for name, metric in registered().items() if metric.needs_weights]
_AtLeast0 = Annotated[int, Field(ge=0)]
_AtLeast1 = Annotated[int, Field(ge=1)]
_Systems = Annotated[list[str], AfterValidator(_distinct)]


class Experiment(BaseModel):
    """The keys of an experiment's file, with types, ranges and choices."""

    model_config = ConfigDict(extra="forbid", strict=True)

    release: str
    columns: dict[str, str]
    annotator: str
    responses: one_of("source of responses", SOURCES)
    ratings: one_of("source of ratings", RATINGS) = "given"
    combine_raters: one_of("way to combine raters", COMBINATIONS)
    rouge_threshold: Annotated[float, Field(ge=0, le=1)]
    systems: Annotated[_Systems, Field(min_length=1)]
    metrics: Annotated[
        list[one_of("metric", registered())], Field(min_length=1), AfterValidator(_distinct)
    ]
    comet_checkpoint: str
    weights: dict[one_of("metric with weights", _WITH_WEIGHTS), str]
    bertscore_layer: _AtLeast1
    pairs: Annotated[list[Any], AfterValidator(_check_pairs)]
    simulated_releases: Annotated[int, Field(ge=5)]
    counterfactual_systems: _Systems
    counterfactual_changes: Annotated[list[one_of("change", CHANGES)], AfterValidator(_distinct)]
    retry_failed: bool = False
    rewordings: bool = False
    prompt: dict[str, str] = {}
    limit: _AtLeast1 | None = None
    only_with_reference: bool = True
    resamples: _AtLeast1
    seed: _AtLeast0
    synthetic_patients: _AtLeast1 = 1
    synthetic_instructions: _AtLeast1 = 1
    synthetic_seed: _AtLeast0 = 0


OPTIONAL = {  # keys that a file may leave out, with their defaults
    name: field.default
    for name, field in Experiment.model_fields.items()
    if not field.is_required()
}


def load_experiment(path: str | Path, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return an experiment's parameters, after checking them and the systems and files they name.

    The result has the file's stem as `experiment`, with the limit if there is one
    (`paths.with_limit`); `overrides` replace or add keys. With `base:
    demo`, the file inherits all other keys from params/demo.yaml.

    Raises:
        ParamsError: a key is missing, unknown or has a wrong value; or the release, unless this
            experiment writes it, cannot be loaded or lacks ratings.

    >>> load_experiment("params/demo.yaml")["experiment"]
    'demo'
    """
    path = resolve(path)
    experiment = _read_experiment(path) | dict(overrides or {})
    try:
        check_name(path.stem)
        _check_keys(experiment)
        experiment["experiment"] = with_limit(path.stem, experiment.get("limit"))
        read_wording(experiment.get("prompt"))
        is_adjudicated = experiment["combine_raters"] == "adjudicated"
        if is_adjudicated and experiment.get("ratings") != "collected":
            raise ParamsError("combine_raters: adjudicated needs `ratings: collected`")
        _check_systems(experiment)
        for weights in (experiment["comet_checkpoint"], *experiment["weights"].values()):
            found = checkpoint(weights)
            if found.endswith(".ckpt") and not Path(found).is_file():
                raise ParamsError(f"comet_checkpoint: no file {weights}")
        _check_release(experiment)
    except MedAlignError as error:
        raise ParamsError(f"{short(path)}: {error}") from None
    return experiment


def parameters(experiment: str) -> dict[str, Any]:
    """Return the parameters of params/<experiment>.yaml for notebooks that are run by hand.

    In a cell below a notebook's own parameters, `globals().update(config.parameters("mine"))` sets
    those of `mine`. Which system a notebook is about, and whether it saves, stay as they are.

    Raises:
        ParamsError: as `load_experiment`.

    >>> parameters("demo")["experiment"], "save" in parameters("demo")
    ('demo', False)
    """
    return OPTIONAL | load_experiment(f"params/{experiment}.yaml")


def answering_systems(experiment: Mapping[str, Any]) -> list[str]:
    """Return the systems that answer in an experiment: those evaluated, then those only audited.

    The list is empty if the responses are released.
    """
    if experiment["responses"] == "released":
        return []
    return [*dict.fromkeys(experiment["systems"] + experiment["counterfactual_systems"])]


def load_system(name: str, prompt: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return a system's keys after `check_system`, with its name as `system`.

    `prompt` is an experiment's; what the system's own `prompt` sets replaces it.

    >>> load_system("bm25-2k")["context_length"]
    2048
    """
    path = resolve(f"params/systems/{name}.yaml")
    if path.is_file() and "/" not in str(name):
        check_name(str(name))
    else:
        known = sorted(p.stem for p in path.parent.glob("*.yaml"))
        raise ParamsError(f"no system {name!r} in params/systems/{suggest(str(name), known)}")
    system = read_yaml(path)
    own = system.get("prompt", {})
    if prompt and isinstance(own, dict):
        system["prompt"] = {**prompt, **own}
    try:
        check_system(system)
    except ParamsError as error:
        raise ParamsError(f"{short(path)}: {error}") from None
    return system | {"system": name}


def context_lengths(systems: Iterable[str], responses: str = "generated") -> dict[str, int | None]:
    """Return each system's context length in tokens; None if it reads the whole record.

    Systems that refine read the whole record. The lengths of `released` systems come from the
    paper; they are None if the system is not in the paper.

    >>> context_lengths(["bm25-full", "random-2k"])
    {'bm25-full': None, 'random-2k': 2048}
    """
    if responses == "released":
        published = published_contexts()
        return {system: published.get(system) for system in systems}
    return {
        system: None if _refines(system) else load_system(system)["context_length"]
        for system in systems
    }


def _refines(system: str) -> bool:
    """Return whether a system reads the whole record in several prompts."""
    return load_system(system).get("strategy") == "refine"


def cost_settings(
    systems: Iterable[str], responses: str = "generated"
) -> dict[str, dict[str, Any]]:
    """Return what the cost of systems depends on besides their responses: price and concurrency.

    `released` systems are left out, because nothing is known of their cost.

    >>> cost_settings(["bm25-full"])
    {'bm25-full': {'price': None, 'concurrency': 1}}
    """
    files = {} if responses == "released" else {name: load_system(name) for name in systems}
    return {
        name: {"price": file.get("price_per_million"), "concurrency": concurrency(file)}
        for name, file in files.items()
    }


def comparable_contexts(
    systems: Sequence[str], responses: str = "generated"
) -> dict[str, int | None]:
    """Return `context_lengths` without systems that refine or have unknown lengths.

    >>> comparable_contexts(["bm25-full", "gpt4-32k-multistep-refinement", "gpt4-32k"])
    {'bm25-full': None, 'gpt4-32k': 32768}
    """
    lengths = context_lengths(systems, responses)
    if responses == "released":
        return {system: tokens for system, tokens in lengths.items() if tokens is not None}
    return {system: tokens for system, tokens in lengths.items() if not _refines(system)}


def context_series(systems: Sequence[str], responses: str = "generated") -> dict[str, int | None]:
    """Return the context lengths of the largest set of systems that differ in nothing else.

    For `released` responses these are the paper's two GPT-4 systems, or else the first system.

    >>> context_series(["random-2k", "bm25-full", "bm25-8k", "bm25-2k"])
    {'bm25-full': None, 'bm25-8k': 8192, 'bm25-2k': 2048}
    """
    if responses == "released":
        same = [system for system in systems if system in SAME_MODEL]
        return context_lengths(same or systems[:1], responses)
    groups: dict[str, dict[str, int | None]] = {}
    for name in systems:
        settings = shaping_settings(load_system(name))
        length = settings.pop("context_length")
        if settings["strategy"] != "refine":
            groups.setdefault(json.dumps(settings, sort_keys=True), {})[name] = length
    return max(groups.values(), key=len, default=context_lengths(systems[:1]))


def for_notebook(notebook: str | Path, experiment: Mapping[str, Any], **job: Any) -> dict[str, Any]:
    """Return the values of the parameters that a notebook declares, and no others.

    `job` adds values set by the workflow, such as `system="bm25-2k"`; by default there is a single
    shard, and results are saved.
    """
    values = (
        OPTIONAL | {"shard": 1, "shards": 1, "save": True, "rater": ""} | dict(experiment) | job
    )
    names = notebook_parameters(notebook)
    if missing := [name for name in names if name not in values]:
        raise ParamsError(f"{Path(notebook).name}: no value for {', '.join(missing)}")
    return {name: values[name] for name in names}


def notebooks() -> list[Path]:
    """Return the project's notebooks, in the order of their numbers."""
    return sorted((project_root() / "notebooks").glob("[0-9]*.ipynb"))


def _read_experiment(path: Path) -> dict[str, Any]:
    """Return an experiment's own and inherited keys.

    An inherited list of `counterfactual_systems` is limited to the experiment's `systems`.
    """
    content = read_yaml(path)
    if "base" not in content:
        return content
    name = content.pop("base")
    base = path.with_name(f"{name}.yaml")
    if not base.is_file():
        known = sorted(other.stem for other in path.parent.glob("*.yaml") if other != path)
        raise ParamsError(f"{short(path)}: base: no experiment {name!r}{suggest(str(name), known)}")
    inherited = read_yaml(base)
    if "base" in inherited:
        raise ParamsError(f"{short(path)}: base: {name} has a base itself; use its base instead")
    audited = inherited.get("counterfactual_systems", [])
    if "systems" in content and isinstance(audited, list):
        kept = [system for system in audited if system in content["systems"]]
        inherited["counterfactual_systems"] = kept
    return inherited | content


def _check_keys(experiment: Mapping[str, Any]) -> None:
    """Check keys, types, ranges and choices; all parameters of notebooks are valid keys."""
    known = Experiment.model_fields
    more = {k: v for book in notebooks() for k, v in notebook_parameters(book).items()}
    more = {k: (type(v), ...) for k, v in more.items() if k not in {*known, *JOB_KEYS}}
    try:
        create_model("Experiment", __base__=Experiment, **more).model_validate(experiment)
    except ValidationError as invalid:
        errors = invalid.errors()
        unknown = [error for error in errors if error["type"] == "extra_forbidden"]
        missing = [str(error["loc"][0]) for error in errors if error["type"] == "missing"]
        if missing and not unknown:
            raise ParamsError(f"no value for {', '.join(missing)}") from None
        raise ParamsError(_explain((unknown or errors)[0], [*known, *more])) from None
    synthetic = [key for key in SYNTHETIC_KEYS if key in experiment]
    if len(synthetic) not in (0, len(SYNTHETIC_KEYS)):
        names = ", ".join(SYNTHETIC_KEYS)
        raise ParamsError(f"found only {', '.join(synthetic)}; give all or none of {names}")


# Pydantic's error types in plain words.
_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "too_short": "{min_length} or more items",
}


def _explain(error: Mapping[str, Any], known: Sequence[str]) -> str:
    """Return a pydantic error in plain words."""
    key, *inside = map(str, error["loc"])
    if error["type"] == "extra_forbidden":
        return f"unknown key {key!r}{suggest(key, known)}"
    if error["type"] == "value_error":
        return f"{key}: {error['ctx']['error']}"
    place = "".join(f" {name}:" for name in inside if not name.isdigit() and name != "[key]")
    expected = _EXPECTED.get(error["type"], error["msg"]).format(**error.get("ctx", {}))
    return f"{key}:{place} {error['input']!r}, expected {expected}"


def _check_systems(experiment: Mapping[str, Any]) -> None:
    for key in ("systems", "counterfactual_systems"):
        for system in experiment[key]:
            if experiment["responses"] == "generated":
                try:
                    load_system(system, experiment.get("prompt"))
                except ParamsError as error:
                    raise ParamsError(f"{key}: {error}") from None
            elif not _RELEASED_NAME.fullmatch(system):
                raise ParamsError(f"{key}: {system!r} has characters that a file name may not have")


def _check_release(experiment: Mapping[str, Any]) -> None:
    release = resolve(experiment["release"])
    if "synthetic_seed" in experiment:
        try:
            require_not_real(release)
        except MedAlignError as error:
            raise ParamsError(f"release: this experiment writes one: {error}") from None
        return
    try:
        load_release(release, columns=experiment["columns"])
        run = Run.of(experiment)
        if run.source == "released" and has_ratings(run):
            common_ratings(rate(run))
    except MedAlignError as error:
        raise ParamsError(f"release: {error}") from None
