"""Experiments and systems: what the YAML files under `params/` say, checked before any work.

An experiment (`params/<experiment>.yaml`) is flat: its keys are the parameters of the notebooks,
so a key that no notebook declares is an error here, where papermill would only warn and run on
with the default. A system (`params/systems/<system>.yaml`) names a generator, how much of the
record it reads, and the generator's own options.
"""

import ast
import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from medalign_utils.errors import MedAlignError, ParamsError
from medalign_utils.evaluation.paper import SAME_MODEL
from medalign_utils.evaluation.paper import context_lengths as published_contexts
from medalign_utils.generation.system import check_system, shaping_settings
from medalign_utils.paths import COMET_COMPACT, checkpoint, project_root, resolve

# Given to each notebook by the workflow, never by an experiment's file.
JOB_KEYS = ("experiment", "system", "shard", "shards")
_WHOLE = {"shard": 1, "shards": 1}

# An experiment with these writes its own release; one without them reads a release that exists.
SYNTHETIC_KEYS = ("synthetic_patients", "synthetic_instructions", "synthetic_seed")

# What numbers may be, both ends included.
_RANGES = {
    "rouge_threshold": (0, 1),
    "bertscore_layer": (1, math.inf),
    "resamples": (1, math.inf),
    "simulated_releases": (5, math.inf),
    "seed": (0, math.inf),
    "synthetic_patients": (1, math.inf),
    "synthetic_instructions": (1, math.inf),
    "synthetic_seed": (0, math.inf),
}

# A system's name is a file's, so it leads nowhere else.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def notebook_parameters(notebook: str | Path) -> dict[str, Any]:
    """The names and defaults in a notebook's parameters cell, in order.

    Raises: ParamsError where no cell is tagged `parameters`, or it holds more than literals.

    >>> list(notebook_parameters("notebooks/01_explore_release.ipynb"))
    ['experiment', 'release', 'columns', 'annotator']
    """
    path = resolve(notebook)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise ParamsError(f"{path.name}: {len(tagged)} cells tagged `parameters`, expected 1")
    parameters = {}
    for statement in ast.parse("".join(tagged[0]["source"])).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                try:
                    parameters[name] = ast.literal_eval(value)
                except ValueError:
                    raise ParamsError(f"{path.name}: parameter {name} is not a literal") from None
            case _:
                raise ParamsError(
                    f"{path.name}: its parameters cell holds more than assignments: "
                    f"{ast.unparse(statement)}"
                )
    return parameters


def load_experiment(path: str | Path, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Read and check one experiment, with every system, metric and file that it names.

    Returns: the file's keys, plus `experiment` (the file's stem). `overrides` replace or add keys,
    as `snakemake --config` does.

    Raises: ParamsError in one line that names the file, the key, what was found and what is
    allowed, also where the release of an experiment that is not synthetic cannot be loaded, or does
    not hold the ratings that it asks for.

    >>> experiment = load_experiment("params/demo.yaml")
    >>> experiment["experiment"], len(experiment["systems"])
    ('demo', 6)
    """
    path = resolve(path)
    experiment = _read_yaml(path) | dict(overrides or {})
    known: dict[str, Any] = {}
    for notebook in notebooks():
        known |= notebook_parameters(notebook)
    for key in JOB_KEYS:
        known.pop(key, None)

    _check_keys(path, experiment, required=known, optional=SYNTHETIC_KEYS)
    _check_types(path, experiment, known | dict.fromkeys(SYNTHETIC_KEYS, 1))
    synthetic = [key for key in SYNTHETIC_KEYS if key in experiment]
    if synthetic and len(synthetic) < len(SYNTHETIC_KEYS):
        raise ParamsError(
            f"{_short(path)}: {', '.join(synthetic)} without the rest of "
            f"{', '.join(SYNTHETIC_KEYS)}"
        )
    _check_ranges(path, experiment)
    _check_choices(path, experiment)
    _check_pairs(path, experiment["pairs"])
    _check_systems(path, experiment["systems"], generated=experiment["responses"] == "generated")
    _check_counterfactuals(path, experiment)
    _check_metrics(path, experiment)
    release = resolve(experiment["release"])
    tables = [*release.glob("*.tsv"), *release.glob("*.csv")]
    if synthetic and tables and not (release / "manifest.json").is_file():
        raise ParamsError(
            f"{_short(path)}: release: {_short(release)} holds tables but no manifest.json, so it "
            "may be a real release, and this experiment would write a synthetic one there; name "
            "another folder"
        )
    if not synthetic:
        _check_release(path, experiment, release)
    return experiment | {"experiment": path.stem}


def _check_release(path: Path, experiment: Mapping, release: Path) -> None:
    from medalign_utils.data.release import load_release
    from medalign_utils.evaluation.ratings import common_ratings, rate
    from medalign_utils.run import Run

    try:
        loaded = load_release(release, columns=experiment["columns"])
        if experiment["responses"] == "released":
            run = Run(
                path.stem,
                release,
                experiment["systems"],
                source="released",
                combine=experiment["combine_raters"],
            )
            vars(run)["release"] = loaded  # loaded once
            common_ratings(rate(run))
    except MedAlignError as error:
        raise ParamsError(f"{_short(path)}: release: {error}") from None


def load_system(name: str) -> dict[str, Any]:
    """Read and check one system, `params/systems/<name>.yaml`.

    Returns: its keys as `systems.check_system` describes them, plus `system`, the name.

    Raises: ParamsError in one line that names the file, what was found and what there is.

    >>> load_system("bm25-2k")["context_length"]
    2048
    """
    path = resolve(f"params/systems/{name}.yaml")
    if not _NAME.fullmatch(str(name)) or not path.is_file():
        known = sorted(p.stem for p in path.parent.glob("*.yaml"))
        raise ParamsError(f"no system {name!r} in params/systems/{_suggest(str(name), known)}")
    system = _read_yaml(path)
    try:
        check_system(system)
    except ParamsError as error:
        raise ParamsError(f"{_short(path)}: {error}") from None
    return system | {"system": name}


def context_lengths(systems: Iterable[str], responses: str = "generated") -> dict[str, int | None]:
    """Each system's context length in tokens; None for the whole record.

    Refinement sees the whole record, however little at a time. Of `released` responses the paper
    says it; None also for a system that the paper has not got.

    >>> context_lengths(["bm25-full", "random-2k"])
    {'bm25-full': None, 'random-2k': 2048}
    """
    if responses == "released":
        published = published_contexts()
        return {system: published.get(system) for system in systems}
    loaded = {system: load_system(system) for system in systems}
    return {
        name: None if system.get("strategy") == "refine" else system["context_length"]
        for name, system in loaded.items()
    }


def comparable_contexts(
    systems: Sequence[str], responses: str = "generated"
) -> dict[str, int | None]:
    """The context lengths of the systems that can be compared by it; None for the whole record.

    Left out is refinement, which reads the whole record through a short context; so does the paper,
    as far as its protocol is remembered here. So is a `released` system that the paper has not got,
    since nothing tells its length.

    >>> comparable_contexts(["bm25-full", "gpt4-32k-multistep-refinement", "gpt4-32k"])
    {'bm25-full': None, 'gpt4-32k': 32768}
    """
    lengths = context_lengths(systems, responses)
    if responses == "released":
        return {system: tokens for system, tokens in lengths.items() if tokens is not None}
    refining = {s for s in systems if load_system(s).get("strategy") == "refine"}
    return {system: tokens for system, tokens in lengths.items() if system not in refining}


def context_series(systems: Sequence[str], responses: str = "generated") -> dict[str, int | None]:
    """The context lengths of those systems that differ in nothing else.

    Of several such groups the largest counts, of two equally large ones that which is named first.
    What a system is called, where it runs and what it costs are no differences, and refinement is
    in no group.
    Of `released` responses it is the paper's GPT-4 at two lengths, or else the first system alone.

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
    """The values of exactly those parameters that a notebook declares.

    `job` holds what is not the experiment's to say, such as `system="bm25-2k"`; unless it says
    otherwise, a system's job is the whole of it.

    Raises: ParamsError where the notebook declares a parameter that neither has.

    >>> experiment = load_experiment("params/demo.yaml")
    >>> for_notebook("notebooks/03_generate_responses.ipynb", experiment, system="random-2k")
    {'experiment': 'demo', 'release': 'data/demo', 'columns': {}, 'system': 'random-2k', \
'shard': 1, 'shards': 1}
    """
    values = _WHOLE | dict(experiment) | job
    names = notebook_parameters(notebook)
    if missing := [name for name in names if name not in values]:
        raise ParamsError(f"{Path(notebook).name}: no value for {', '.join(missing)}")
    return {name: values[name] for name in names}


def notebooks() -> list[Path]:
    """The project's notebooks, in the order of their numbers.

    >>> notebooks()[0].name
    '01_explore_release.ipynb'
    """
    return sorted((project_root() / "notebooks").glob("[0-9]*.ipynb"))


# The loader in C takes a tenth of the time, where PyYAML was built with it.
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """YAML in which a key that stands twice is an error, where PyYAML takes the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ParamsError(f"no file {path}")
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except UnicodeDecodeError:
        raise ParamsError(f"{_short(path)}: not UTF-8") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{_short(path)}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ParamsError(f"{_short(path)}: expected `key: value` lines")
    return content


def _check_keys(
    path: Path, content: Mapping, *, required: Iterable[str], optional: Iterable[str]
) -> None:
    known = [*required, *optional]
    for key in content:
        if key not in known:
            raise ParamsError(f"{_short(path)}: unknown key {key!r}{_suggest(str(key), known)}")
    if missing := [key for key in required if key not in content]:
        raise ParamsError(f"{_short(path)}: lacks {', '.join(missing)}")


def _check_types(path: Path, experiment: Mapping, defaults: Mapping) -> None:
    """Hold each value against the type of the notebooks' default for it."""
    for key, value in experiment.items():
        expected = type(defaults[key])
        if type(value) is not expected:
            raise ParamsError(
                f"{_short(path)}: {key}: {value!r} is {type(value).__name__}, "
                f"expected {expected.__name__}, such as {defaults[key]!r}"
            )


def _check_ranges(path: Path, experiment: Mapping) -> None:
    for key, (least, most) in _RANGES.items():
        if key in experiment and not least <= experiment[key] <= most:
            expected = f"at least {least}" if most == math.inf else f"{least} to {most}"
            raise ParamsError(f"{_short(path)}: {key}: {experiment[key]}, expected {expected}")


def _check_choices(path: Path, experiment: Mapping) -> None:
    from medalign_utils.data.responses import SOURCES
    from medalign_utils.evaluation.ratings import COMBINATIONS

    for key, choices in (("responses", SOURCES), ("combine_raters", COMBINATIONS)):
        if experiment[key] not in choices:
            raise ParamsError(
                f"{_short(path)}: {key}: {experiment[key]!r}{_suggest(experiment[key], choices)}"
            )


def _check_pairs(path: Path, pairs: list) -> None:
    from medalign_utils.data.demographics import GROUPINGS

    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or len({*map(str, pair)} - {*GROUPINGS}):
            raise ParamsError(
                f"{_short(path)}: pairs: {pair!r}, expected two of {', '.join(GROUPINGS)}"
            )
        # Two tables of one pair, merged differently, would tell more than either.
        if pair[0] == pair[1] or [sorted(other) for other in pairs].count(sorted(pair)) > 1:
            raise ParamsError(f"{_short(path)}: pairs: {' x '.join(pair)} named twice")


def _check_systems(path: Path, systems: list, *, generated: bool) -> None:
    if len(systems) < 2:
        raise ParamsError(f"{_short(path)}: systems: {systems}, expected at least 2 to compare")
    if repeated := sorted({s for s in systems if systems.count(s) > 1}):
        raise ParamsError(f"{_short(path)}: systems: {', '.join(repeated)} named twice")
    for system in systems if generated else ():
        try:
            load_system(system)
        except ParamsError as error:
            raise ParamsError(f"{_short(path)}: systems: {error}") from None


def _check_counterfactuals(path: Path, experiment: Mapping) -> None:
    from medalign_utils.fairness.perturbation import CHANGES

    # Each is compared with what the experiment has anyway.
    choices = {"counterfactual_systems": experiment["systems"], "counterfactual_changes": CHANGES}
    for key, known in choices.items():
        names = experiment[key]
        for name in names:
            if name not in known:
                raise ParamsError(f"{_short(path)}: {key}: {name!r}{_suggest(str(name), known)}")
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ParamsError(f"{_short(path)}: {key}: {', '.join(repeated)} named twice")


def _check_metrics(path: Path, experiment: Mapping) -> None:
    from medalign_utils.metrics.registry import METRICS, WITH_WEIGHTS

    metrics = experiment["metrics"]
    if not metrics:
        raise ParamsError(f"{_short(path)}: metrics: empty, expected some of {', '.join(METRICS)}")
    for metric in metrics:
        if metric not in METRICS:
            raise ParamsError(
                f"{_short(path)}: metrics: no metric {metric!r}{_suggest(str(metric), METRICS)}"
            )
    if repeated := sorted({m for m in metrics if metrics.count(m) > 1}):
        raise ParamsError(f"{_short(path)}: metrics: {', '.join(repeated)} named twice")
    model = experiment["comet_checkpoint"]
    made_here = resolve(model).is_relative_to(resolve(COMET_COMPACT))
    if "comet" in metrics and model.endswith(".ckpt") and not made_here:
        if not resolve(model).is_file():
            raise ParamsError(f"{_short(path)}: comet_checkpoint: no file {model}")
    for metric, weights in experiment["weights"].items():
        if metric not in WITH_WEIGHTS:
            hint = _suggest(str(metric), WITH_WEIGHTS)
            raise ParamsError(f"{_short(path)}: weights: no metric {metric!r} with weights{hint}")
        if not isinstance(weights, str):
            raise ParamsError(
                f"{_short(path)}: weights: {metric}: {weights!r}, expected a folder or a hub id"
            )
    for weights in (model, *experiment["weights"].values()):
        try:
            checkpoint(weights)
        except MedAlignError as error:
            raise ParamsError(f"{_short(path)}: weights: {error}") from None


def _suggest(name: str, known: Iterable[str]) -> str:
    known = sorted(set(known))
    if close := difflib.get_close_matches(name, known, n=1):
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}"


def _short(path: Path) -> str:
    root = project_root()
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
