"""The automated metrics, by name.

A metric is a module with a scoring function (columns of texts in, one number a response out) and a
function that states its settings; a line in `METRICS` makes it known. Metrics load their models
inside the scoring call, so importing this package loads none.
"""

import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from medalign_utils import minilm
from medalign_utils.data.release import ANNOTATOR, primary_references
from medalign_utils.errors import MedAlignError, NotAvailableError
from medalign_utils.metrics import checkpoints
from medalign_utils.metrics.cache import digest, recall, store
from medalign_utils.metrics.registry import METRICS, WITH_WEIGHTS
from medalign_utils.paths import weights as resolve_weights


class Scored(NamedTuple):
    """What `score_responses` gives.

    `scores`: instruction_id, system, metric, score (float64), signature. All rows of the first name
    come first, each block in the order of the responses. `skipped`: metric, reason; one row a name
    that could not be scored, none of which has a row in `scores`.
    """

    scores: pd.DataFrame
    skipped: pd.DataFrame


def score_responses(
    responses: pd.DataFrame,
    instructions: pd.DataFrame,
    references: pd.DataFrame,
    metrics: Sequence[str],
    *,
    annotator: str = ANNOTATOR,
    comet_checkpoint: str | Path | None = None,
    bertscore_layer: int | None = None,
    weights: Mapping[str, str] = MappingProxyType({}),
    cache: Path | None = None,
    private: bool = False,
    progress: bool = True,
) -> Scored:
    """Score responses against one annotator's reference by each of the metrics.

    All settings are checked before the first model loads. Each distinct set of texts is scored
    once, and none that `cache` has a score of, computed by the same code with the same signature. A
    metric whose weights cannot be had now is skipped, and the reason given; what is asked for
    wrongly is an error.

    Args:
        responses: table with instruction_id, system, response; one row a pair of the first two.
        instructions: table with instruction_id, question.
        references: table with instruction_id, annotator, reference; of several annotators the one
            that `dataset.primary_references` keeps counts.
        metrics: names in `METRICS`, in the order wanted.
        annotator: whose reference is preferred.
        comet_checkpoint: see `score_comet`; needed for "comet".
        bertscore_layer: see `score_bertscore`; needed for "bertscore".
        weights: of `WITH_WEIGHTS` the metric's name -> its `model`, a path counted from the
            project's root or a hub id. A metric that is not among them is skipped.
        cache: the file of scores computed before; None keeps none.
        private: a new cache is readable by its owner only.
        progress: show progress bars.

    Returns:
        The scores, and the metrics skipped with their reasons, by the names that they have in
        tables: the metric's key; for COMET its checkpoint's (`name_comet`), for METEOR see
        `names_meteor`, for UniEval one a dimension (`names_unieval`).

    Raises:
        MedAlignError: no metric or an unknown one is asked for, two metrics give scores of one
            name, a setting or a column is missing, a response occurs twice or has no instruction or
            no reference, or every metric was skipped.

    >>> responses = pd.DataFrame({"instruction_id": ["7"], "system": ["bm25"], "response": ["1.4"]})
    >>> instructions = pd.DataFrame({"instruction_id": ["7"], "question": ["Last creatinine?"]})
    >>> references = pd.DataFrame(
    ...     {"instruction_id": ["7"], "annotator": ["Annotator_1"], "reference": ["1.4 mg/dL"]})
    >>> scored = score_responses(responses, instructions, references,
    ...     ["rouge_l", "chrf", "bleurt"])
    >>> scored.scores[["system", "metric", "score"]].round(2).values.tolist()
    [['bm25', 'rouge_l', 0.67], ['bm25', 'chrf', 0.32]]
    >>> scored.skipped.values.tolist()
    [['bleurt', 'weights names none for bleurt']]
    """
    settings: dict[str, dict[str, Any]] = {
        "comet": {"checkpoint": comet_checkpoint},
        **{name: {"model": resolve_weights(weights.get(name, ""))} for name in WITH_WEIGHTS},
    }
    settings["bertscore"]["layer"] = bertscore_layer
    _check_metrics(metrics, settings)
    texts = _join(responses, instructions, references, annotator)
    names = {name: _names(name, settings) for name in metrics}
    _check_names(names)

    signatures, blocks, reasons = {}, [], {}
    for name in metrics:
        if name in WITH_WEIGHTS and not settings[name]["model"]:
            reasons[name] = f"weights names none for {name}"
            continue
        try:
            signatures[name] = METRICS[name].signature(**settings.get(name, {}))
        except NotAvailableError as error:
            reasons[name] = str(error)
    for name, signature in signatures.items():
        try:
            scores = _score(name, names[name], signature, texts, settings, cache, private, progress)
        except NotAvailableError as error:
            reasons[name] = str(error)
            continue
        for column, values in zip(names[name], scores.T, strict=True):
            block = texts[["instruction_id", "system"]].copy()
            blocks.append(block.assign(metric=column, score=values, signature=signature))
    if not blocks:
        raise MedAlignError(f"score_responses: no metric can be scored: {reasons}")
    skipped = [(column, reasons[name]) for name in reasons for column in names[name]]
    return Scored(
        pd.concat(blocks, ignore_index=True), pd.DataFrame(skipped, columns=["metric", "reason"])
    )


def _names(name: str, settings: Mapping[str, dict[str, Any]]) -> list[str]:
    metric = METRICS[name]
    return list(metric.names(**settings.get(name, {}))) if metric.names else [name]


def _check_names(names: Mapping[str, Sequence[str]]) -> None:
    """One name in the scores means one metric with one signature."""
    owners: dict[str, str] = {}
    for metric, columns in names.items():
        for column in columns:
            if column in owners:
                raise MedAlignError(
                    f"score_responses: {owners[column]} and {metric} would both give scores named "
                    f"{column}; rename the checkpoint's folder"
                )
            owners[column] = metric


def _score(
    name: str,
    columns: Sequence[str],
    signature: str,
    texts: pd.DataFrame,
    settings: Mapping[str, dict[str, Any]],
    cache: Path | None,
    private: bool,
    progress: bool,
) -> np.ndarray:
    """Score the texts by one metric, as far as the cache does not know them: (N, columns)."""
    metric = METRICS[name]
    used = {"predictions": "response", "references": "reference"}
    if metric.needs_source:
        used["sources"] = "question"
    rows = list(texts[[*used.values()]].itertuples(index=False, name=None))
    # A signature does not tell one version of a metric's own code from another.
    modules = (sys.modules[metric.score.__module__], minilm, checkpoints)
    code = b"".join(Path(module.__file__).read_bytes() for module in modules)
    how = (signature, hashlib.sha256(code).hexdigest())
    keys = {row: [digest(column, *how, *row) for column in columns] for row in rows}
    known = recall(cache, (key for of_row in keys.values() for key in of_row))
    new = [row for row in keys if not known.keys() >= set(keys[row])]
    if new:
        arguments = dict(zip(used, map(list, zip(*new, strict=True)), strict=True))
        scores = metric.score(**arguments, **settings.get(name, {}), progress=progress)
        scores = np.asarray(scores, dtype=np.float64).reshape(len(new), len(columns))
        computed = {
            key: score
            for row, of_row in zip(new, scores.tolist(), strict=True)
            for key, score in zip(keys[row], of_row, strict=True)
        }
        known |= store(cache, computed, private=private)
    return np.array([[known[key] for key in keys[row]] for row in rows])


def _check_metrics(metrics: Sequence[str], settings: dict[str, dict[str, Any]]) -> None:
    """Check the names asked for and that each has its settings."""
    known = ", ".join(METRICS)
    if isinstance(metrics, str) or not metrics:
        raise MedAlignError(f"score_responses: metrics is {metrics!r}, expected a list of: {known}")
    if len(set(metrics)) < len(metrics):
        raise MedAlignError(f"score_responses: a metric is named twice: {', '.join(metrics)}")
    for name in metrics:
        if name not in METRICS:
            raise MedAlignError(f"score_responses: unknown metric {name!r}; known: {known}")
        for option, value in settings.get(name, {}).items():
            if value is None:
                raise MedAlignError(
                    f"score_responses: {name} needs {name}_{option}, which is not set"
                )


def _join(
    responses: pd.DataFrame, instructions: pd.DataFrame, references: pd.DataFrame, annotator: str
) -> pd.DataFrame:
    """Put question and reference beside each response."""
    for name, table, columns in (
        ("responses", responses, ("instruction_id", "system", "response")),
        ("instructions", instructions, ("instruction_id", "question")),
        ("references", references, ("instruction_id", "annotator", "reference")),
    ):
        missing = [column for column in columns if column not in table.columns]
        if missing:
            raise MedAlignError(
                f"score_responses: {name} has no column {', '.join(missing)}; "
                f"found: {', '.join(map(str, table.columns))}"
            )
    key = ["instruction_id", "system"]
    sizes = responses.groupby(key, sort=False).size()
    if (sizes > 1).any():
        instruction_id, system = sizes.index[sizes > 1][0]
        raise MedAlignError(
            f"score_responses: {sizes.max()} responses for (instruction {instruction_id}, {system})"
        )

    questions = instructions.drop_duplicates("instruction_id").set_index("instruction_id")
    texts = responses[[*key, "response"]].reset_index(drop=True)
    texts["question"] = texts["instruction_id"].map(questions["question"])
    first = primary_references(references, annotator)
    written = first[first["reference"].str.strip() != ""].set_index("instruction_id")
    texts["reference"] = texts["instruction_id"].map(written["reference"])
    for column, what in (
        ("response", "text"),
        ("question", "instruction"),
        ("reference", "reference"),
    ):
        absent = texts.loc[texts[column].isna(), key]
        if len(absent):
            instruction_id, system = absent.iloc[0]
            raise MedAlignError(
                f"score_responses: {len(absent)} of {len(texts)} responses have no {what}, "
                f"the first is (instruction {instruction_id}, {system})"
            )
    return texts
