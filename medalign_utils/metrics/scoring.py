"""Score responses by metrics: plain lists (`score`), or an experiment's (`score_responses`)."""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from medalign_utils import hub, minilm, paths
from medalign_utils.data.release import ANNOTATOR, primary_references
from medalign_utils.data.store import Store
from medalign_utils.errors import MedAlignError, NotAvailableError
from medalign_utils.metrics import base
from medalign_utils.metrics.base import WITH_WEIGHTS, check_texts
from medalign_utils.metrics.registry import METRICS

# The settings that work without a download.
COMET_CHECKPOINT = paths.COMET_COMPACT
WEIGHTS = MappingProxyType({"bertscore": "minilm"})
BERTSCORE_LAYER = 6


class Scored(NamedTuple):
    """Scores: instruction_id, system, metric, score, signature. Skipped metrics: metric, reason."""

    scores: pd.DataFrame
    skipped: pd.DataFrame


def score(
    responses: Sequence[str],
    references: Sequence[str],
    metrics: Sequence[str] = ("comet", "bertscore", "rouge_l"),
    *,
    questions: Sequence[str] | None = None,
    comet_checkpoint: str | Path = COMET_CHECKPOINT,
    bertscore_layer: int = BERTSCORE_LAYER,
    weights: Mapping[str, str] = WEIGHTS,
    progress: bool = False,
) -> pd.DataFrame:
    """Return one row per response and one column per metric; COMET's is named by its checkpoint.

    By default COMET is comet-compact and BERTScore compares the last layer of all-MiniLM-L6-v2:
    small models that need no download. For other models see `score_comet` and `score_bertscore`;
    `weights` maps BERTScore, BLEURT, LENS and UniEval to a folder or hub id. COMET, LENS and
    UniEval need `questions`, each response's instruction.

    Raises: NotAvailableError if weights are out of reach; MedAlignError if a metric is unknown or
    lacks weights or questions, or as `check_texts`.

    >>> score(["1.4", "unknown"], ["1.4 mg/dL"] * 2, ["rouge_l", "chrf"]).round(2)
       rouge_l  chrf
    0     0.67  0.32
    1     0.00  0.00
    """
    if isinstance(responses, str) or isinstance(references, str):
        raise MedAlignError("score: responses and references are lists of texts, not one text")
    settings = _settings("score", metrics, comet_checkpoint, bertscore_layer, weights)
    names, scores = _names("score", settings), []
    columns = {"predictions": list(responses), "references": list(references)}
    if questions is not None:
        columns["sources"] = list(questions)
    check_texts("score", **columns)
    for name, options in settings.items():
        if options.get("model") == "":
            raise MedAlignError(f"score: no weights configured ({name})")
        if METRICS[name].needs_source and questions is None:
            raise MedAlignError(f"score: {name} needs questions")
        texts = {column: columns[column] for column in _columns(name)}
        of_metric = METRICS[name].score(**texts, **options, progress=progress)
        scores.append(np.atleast_2d(of_metric.T))
    return pd.DataFrame(np.concatenate(scores).T, columns=list(names))


def score_responses(
    responses: pd.DataFrame,
    instructions: pd.DataFrame,
    references: pd.DataFrame,
    metrics: Sequence[str],
    *,
    annotator: str = ANNOTATOR,
    comet_checkpoint: str | Path = COMET_CHECKPOINT,
    bertscore_layer: int = BERTSCORE_LAYER,
    weights: Mapping[str, str] = WEIGHTS,
    store: Store | None = None,
    progress: bool = True,
) -> Scored:
    """Return the scores of responses against one annotator's reference, and the metrics skipped.

    The settings are those of `score` and are checked before the first model loads. Each distinct
    set of texts is scored once, unless `store` (see `Run.score_store`) has its score from the same
    code and signature. A metric without weights, or whose weights are out of reach, is skipped.

    `responses` has instruction_id, system and response, `instructions` instruction_id and question,
    `references` instruction_id, annotator and reference (for the choice of one see
    `primary_references`).

    Raises: MedAlignError if a metric is unknown or two have one name; a column is missing; a
    response occurs twice or has no instruction or no reference; or every metric is skipped.
    """
    settings = _settings("score_responses", metrics, comet_checkpoint, bertscore_layer, weights)
    names = _names("score_responses", settings)
    texts = _join(responses, instructions, references, annotator)
    signatures, blocks, reasons = {}, [], {}
    for name, options in settings.items():
        try:
            if options.get("model") == "":
                raise NotAvailableError(f"no weights configured (params: weights.{name})")
            signatures[name] = METRICS[name].signature(**options)
        except NotAvailableError as error:
            reasons[name] = str(error)
    for name, signature in signatures.items():
        columns = [column for column, metric in names.items() if metric == name]
        try:
            scores = _score(name, columns, settings[name], signature, texts, store, progress)
        except NotAvailableError as error:
            reasons[name] = str(error)
            continue
        for column, values in scores.items():
            rows = texts[["instruction_id", "system"]]
            blocks.append(rows.assign(metric=column, score=values, signature=signature))
    if not blocks:
        raise MedAlignError(f"score_responses: no metric can be scored: {reasons}")
    skipped = [(column, reasons[name]) for column, name in names.items() if name in reasons]
    skipped = pd.DataFrame(skipped, columns=["metric", "reason"])
    return Scored(pd.concat(blocks, ignore_index=True), skipped)


def _settings(
    function: str,
    metrics: Sequence[str],
    comet_checkpoint: str | Path,
    bertscore_layer: int,
    weights: Mapping[str, str],
) -> dict[str, dict[str, Any]]:
    """The keyword arguments of each metric asked for."""
    known = ", ".join(METRICS)
    if isinstance(metrics, str) or not metrics:
        raise MedAlignError(f"{function}: metrics is {metrics!r}, expected a list of: {known}")
    if len(set(metrics)) < len(metrics):
        raise MedAlignError(f"{function}: a metric is named twice: {', '.join(metrics)}")
    settings: dict[str, dict[str, Any]] = {}
    for name in metrics:
        if name not in METRICS:
            raise MedAlignError(f"{function}: unknown metric {name!r}; known: {known}")
        settings[name] = {}
        if name in WITH_WEIGHTS:
            settings[name]["model"] = paths.weights(weights.get(name, ""))
        if name == "bertscore":
            settings[name]["layer"] = bertscore_layer
        if name == "comet":
            settings[name]["checkpoint"] = paths.checkpoint(str(comet_checkpoint))
    return settings


def _names(function: str, settings: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Name in the scores -> metric, in order; one name is one metric's."""
    owners: dict[str, str] = {}
    for name, options in settings.items():
        metric = METRICS[name]
        for column in metric.names(**options) if metric.names else [name]:
            if column in owners:
                raise MedAlignError(
                    f"{function}: {owners[column]} and {name} would both give scores named "
                    f"{column}; rename the checkpoint's folder"
                )
            owners[column] = name
    return owners


def _columns(name: str) -> list[str]:
    """The columns of texts that a metric reads."""
    return ["predictions", "references"] + ["sources"] * METRICS[name].needs_source


def _score(
    name: str,
    columns: Sequence[str],
    options: Mapping[str, Any],
    signature: str,
    texts: pd.DataFrame,
    store: Store | None,
    progress: bool,
) -> dict[str, np.ndarray]:
    """One metric's scores by name, computed as far as the store does not have them."""
    metric = METRICS[name]
    # A signature does not tell one version of a metric's code from another.
    modules = (sys.modules[metric.score.__module__], base, hub, minilm)
    code = b"".join(Path(module.__file__).read_bytes() for module in modules)
    how = (name, signature, hashlib.sha256(code).hexdigest())
    rows = list(texts[_columns(name)].itertuples(index=False, name=None))
    keys = {row: hashlib.sha256(json.dumps([*how, *row]).encode()).hexdigest() for row in rows}
    known = {row: store[key] for row, key in keys.items() if store is not None and key in store}
    new = [row for row in keys if row not in known]
    if new:
        given = dict(zip(_columns(name), map(list, zip(*new, strict=True)), strict=True))
        scores = np.asarray(metric.score(**given, **options, progress=progress), dtype=np.float64)
        for row, values in zip(new, scores.reshape(len(new), -1).tolist(), strict=True):
            known[row] = dict(zip(columns, values, strict=True))
            if store is not None:
                store.put(keys[row], known[row])
    return {column: np.array([known[row][column] for row in rows]) for column in columns}


def _join(
    responses: pd.DataFrame, instructions: pd.DataFrame, references: pd.DataFrame, annotator: str
) -> pd.DataFrame:
    """Each response with its question and reference: predictions, sources, references."""
    for name, table, columns in (
        ("responses", responses, ("instruction_id", "system", "response")),
        ("instructions", instructions, ("instruction_id", "question")),
        ("references", references, ("instruction_id", "annotator", "reference")),
    ):
        if missing := [column for column in columns if column not in table.columns]:
            raise MedAlignError(
                f"score_responses: {name} has no column {', '.join(missing)}; "
                f"found: {', '.join(map(str, table.columns))}"
            )
    key = ["instruction_id", "system"]
    if (repeated := responses[responses.duplicated(key)]).size:
        instruction_id, system = repeated.iloc[0][key]
        raise MedAlignError(
            f"score_responses: several responses for (instruction {instruction_id}, {system})"
        )
    questions = instructions.drop_duplicates("instruction_id").set_index("instruction_id")
    first = primary_references(references, annotator).set_index("instruction_id")["reference"]
    texts = responses[key].reset_index(drop=True)
    texts["predictions"] = responses["response"].to_numpy()
    texts["sources"] = texts["instruction_id"].map(questions["question"])
    texts["references"] = texts["instruction_id"].map(first[first.str.strip() != ""])
    labels = {"predictions": "text", "sources": "instruction", "references": "reference"}
    for column, label in labels.items():
        absent = texts.loc[texts[column].isna(), key].to_numpy()
        if len(absent):
            raise MedAlignError(
                f"score_responses: {len(absent)} of {len(texts)} responses have no {label}, "
                f"the first is (instruction {absent[0][0]}, {absent[0][1]})"
            )
    return texts
