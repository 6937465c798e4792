"""Score responses: `score` takes lists of texts, `score_responses` the tables of a run."""

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
from medalign_utils.errors import MedAlignError, NotAvailableError, suggest
from medalign_utils.metrics import base, words
from medalign_utils.metrics.base import check_texts
from medalign_utils.metrics.registry import METRICS

# Defaults that need no download.
COMET_CHECKPOINT = paths.COMET_COMPACT
WEIGHTS = MappingProxyType({"bertscore": "minilm"})
BERTSCORE_LAYER = 6


class Scored(NamedTuple):
    """The scores of responses, and the metrics that were skipped."""

    scores: pd.DataFrame  # instruction_id, system, metric, score, signature
    skipped: pd.DataFrame  # metric, reason


def score(
    responses: Sequence[str],
    references: Sequence[str],
    metrics: Sequence[str] | None = None,
    *,
    questions: Sequence[str] | None = None,
    comet_checkpoint: str | Path = COMET_CHECKPOINT,
    bertscore_layer: int = BERTSCORE_LAYER,
    weights: Mapping[str, str] = WEIGHTS,
    progress: bool = False,
) -> pd.DataFrame:
    """Return one row per response and one column per metric; COMET's is named by its checkpoint.

    The default metrics are BERTScore and ROUGE-L, and with `questions` also COMET; LENS and UniEval
    need `questions` too. The default models are small and bundled: comet-compact, and the last
    layer of all-MiniLM-L6-v2. For other models see `score_comet` and `score_bertscore`; `weights`
    maps "bertscore", "bleurt", "lens" and "unieval" to a folder or hub id. Higher is always better.

    Raises: NotAvailableError if weights cannot be reached; MedAlignError if a metric is unknown or
    lacks weights or questions, or as `check_texts`.

    >>> score(["1.4", "unknown"], ["1.4 mg/dL"] * 2, ["rouge_l", "chrf"]).round(2)
       rouge_l  chrf
    0     0.67  0.32
    1     0.00  0.00
    """
    if isinstance(responses, str) or isinstance(references, str):
        raise MedAlignError("score: responses and references must be lists of texts")
    if metrics is None:
        metrics = ["comet"] * (questions is not None) + ["bertscore", "rouge_l"]
    settings = _settings("score", metrics, comet_checkpoint, bertscore_layer, weights)
    names, scores = _names("score", settings), []
    columns = {"responses": list(responses), "references": list(references)}
    if questions is not None:
        columns["questions"] = list(questions)
    check_texts("score", **columns)
    for name, options in settings.items():
        if options.get("model") == "":
            raise MedAlignError(f"score: {name} needs weights={{{name!r}: <folder or hub id>}}")
        if METRICS[name].needs_question and questions is None:
            raise MedAlignError(f"score: {name} needs questions, one per response")
    for name, options in settings.items():
        texts = {column: columns[column] for column in _columns(name)}
        scores.append(np.atleast_2d(_values(name, texts, options, progress).T))
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
    """Return the scores of responses against one annotator's references, and the skipped metrics.

    `responses` has instruction_id, system and response; `instructions` has instruction_id and
    question; `references` has instruction_id, annotator and reference (see `primary_references`).
    Settings are those of `score`; they are checked before any model loads. Metrics without weights,
    or with weights that cannot be reached, are skipped. Equal texts are scored only once; a score
    in `store` (see `Run.score_store`) is reused if code and signature are the same.

    Raises: MedAlignError if a metric is unknown, two metrics share a name, a column is missing, a
    response occurs twice or has no instruction or reference, or every metric is skipped.
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
            signatures[name] += "|negated" * (not METRICS[name].higher_is_better)
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
    """Return the keyword arguments of each metric."""
    if isinstance(metrics, str) or not metrics:
        known = ", ".join(METRICS)
        raise MedAlignError(f"{function}: metrics is {metrics!r}, expected a list of: {known}")
    if len(set(metrics)) < len(metrics):
        raise MedAlignError(f"{function}: a metric is named twice: {', '.join(metrics)}")
    with_weights = [name for name, metric in METRICS.items() if metric.needs_weights]
    if unknown := [name for name in weights if name not in with_weights]:
        hint = suggest(unknown[0], with_weights) + " (for COMET, set comet_checkpoint)"
        raise MedAlignError(f"{function}: weights: unknown metric {unknown[0]!r}{hint}")
    settings: dict[str, dict[str, Any]] = {}
    for name in metrics:
        if name not in METRICS:
            raise MedAlignError(f"{function}: no metric {name!r}{suggest(name, METRICS)}")
        settings[name] = {}
        if METRICS[name].needs_weights:
            settings[name]["model"] = paths.weights(weights.get(name, ""))
        if name == "bertscore":
            settings[name]["layer"] = bertscore_layer
        if name == "comet":
            settings[name]["checkpoint"] = paths.checkpoint(str(comet_checkpoint))
    return settings


def _names(function: str, settings: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Return a dict from the names of scores to their metrics; the names must be distinct."""
    owners: dict[str, str] = {}
    for name, options in settings.items():
        metric = METRICS[name]
        for column in metric.names(**options) if metric.names else [name]:
            if column in owners:
                raise MedAlignError(
                    f"{function}: scores of {owners[column]} and of {name} would both be named "
                    f"{column}; rename the checkpoint's folder"
                )
            owners[column] = name
    return owners


def _columns(name: str) -> list[str]:
    """Return the columns of texts that a metric reads."""
    return ["responses", "references"] + ["questions"] * METRICS[name].needs_question


def _values(
    name: str, texts: Mapping[str, list[str]], options: Mapping[str, Any], progress: bool
) -> np.ndarray:
    """Return a metric's scores, negated if lower is better."""
    values = METRICS[name].score(**texts, **options, progress=progress)
    scores = np.asarray(values, dtype=np.float64)
    return scores if METRICS[name].higher_is_better else -scores


def _score(
    name: str,
    columns: Sequence[str],
    options: Mapping[str, Any],
    signature: str,
    texts: pd.DataFrame,
    store: Store | None,
    progress: bool,
) -> dict[str, np.ndarray]:
    """Return one metric's scores by name, from the store if it has them."""
    # The key includes a digest of the code, which the signature does not cover.
    modules = (sys.modules[METRICS[name].score.__module__], base, hub, minilm, words)
    code = b"".join(Path(module.__file__).read_bytes() for module in modules)
    how = (name, signature, hashlib.sha256(code).hexdigest())
    rows = list(texts[_columns(name)].itertuples(index=False, name=None))
    keys = {row: hashlib.sha256(json.dumps([*how, *row]).encode()).hexdigest() for row in rows}
    known = {row: store[key] for row, key in keys.items() if store is not None and key in store}
    new = [row for row in keys if row not in known]
    if new:
        columns_of = dict(zip(_columns(name), map(list, zip(*new, strict=True)), strict=True))
        scores = _values(name, columns_of, options, progress)
        for row, values in zip(new, scores.reshape(len(new), -1).tolist(), strict=True):
            known[row] = dict(zip(columns, values, strict=True))
            if store is not None:
                store.put(keys[row], known[row])
    return {column: np.array([known[row][column] for row in rows]) for column in columns}


def _join(
    responses: pd.DataFrame, instructions: pd.DataFrame, references: pd.DataFrame, annotator: str
) -> pd.DataFrame:
    """Return a table of the texts to score, with columns responses, questions and references."""
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
            f"score_responses: several responses by {system} to instruction {instruction_id}"
        )
    questions = instructions.drop_duplicates("instruction_id").set_index("instruction_id")
    first = primary_references(references, annotator).set_index("instruction_id")["reference"]
    texts = responses[key].reset_index(drop=True)
    texts["responses"] = responses["response"].to_numpy()
    texts["questions"] = texts["instruction_id"].map(questions["question"])
    texts["references"] = texts["instruction_id"].map(first[first.str.strip() != ""])
    labels = {"responses": "text", "questions": "instruction", "references": "reference"}
    for column, label in labels.items():
        absent = texts.loc[texts[column].isna(), key].to_numpy()
        if len(absent):
            raise MedAlignError(
                f"score_responses: {len(absent)} of {len(texts)} responses have no {label}; the "
                f"first is by {absent[0][1]} to instruction {absent[0][0]}"
            )
    return texts
