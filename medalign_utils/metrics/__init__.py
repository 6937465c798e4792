"""The automated metrics, by name.

A metric is a module with a scoring function (columns of texts in, one number a response out) and a
function that states its settings; a line in `METRICS` makes it known. Metrics load their models
inside the scoring call, so importing this package loads none.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from medalign_utils.dataset import ANNOTATOR, primary_references
from medalign_utils.errors import MedAlignError
from medalign_utils.metrics.bertscore import score_bertscore, signature_bertscore
from medalign_utils.metrics.chrf import score_chrf, signature_chrf
from medalign_utils.metrics.comet import checkpoint_path, name_comet, score_comet, signature_comet
from medalign_utils.metrics.rouge import score_rouge_l, signature_rouge_l


class Metric(NamedTuple):
    """A metric's two functions.

    ``score(predictions=..., references=..., progress=..., **settings)`` gives float64 of shape
    (N,); with `needs_source` it takes ``sources`` (the instructions) too. ``signature(**settings)``
    gives a string such as "rougeL|stem:yes|v:0.1.2".
    """

    score: Callable[..., np.ndarray]
    signature: Callable[..., str]
    needs_source: bool = False


METRICS = {
    "comet": Metric(score_comet, signature_comet, needs_source=True),
    "bertscore": Metric(score_bertscore, signature_bertscore),
    "rouge_l": Metric(score_rouge_l, signature_rouge_l),
    "chrf": Metric(score_chrf, signature_chrf),
}


def score_responses(
    responses: pd.DataFrame,
    instructions: pd.DataFrame,
    references: pd.DataFrame,
    metrics: Sequence[str],
    *,
    annotator: str = ANNOTATOR,
    comet_checkpoint: str | Path | None = None,
    bertscore_model: str | None = None,
    bertscore_layer: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Score responses against one annotator's reference by each of the metrics.

    Everything is checked before the first model loads.

    Args:
        responses: table with instruction_id, system, response; one row a pair of the first two.
        instructions: table with instruction_id, question.
        references: table with instruction_id, annotator, reference; of several annotators the one
            that `dataset.primary_references` keeps counts.
        metrics: names in `METRICS`, in the order wanted.
        annotator: whose reference is preferred.
        comet_checkpoint: see `score_comet`; needed for "comet".
        bertscore_model: see `score_bertscore`; needed for "bertscore".
        bertscore_layer: as `bertscore_model`.
        progress: show progress bars.

    Returns:
        The scores table: instruction_id, system, metric, score (float64), signature. All rows of
        the first metric come first, each block in the order of `responses`. The metric column holds
        the metric's name, and for COMET the checkpoint's (`name_comet`).

    Raises:
        MedAlignError: no metric or an unknown one is asked for, a setting or a column is missing, a
            response occurs twice or has no instruction or no reference.

    >>> responses = pd.DataFrame({"instruction_id": ["7"], "system": ["bm25"], "response": ["1.4"]})
    >>> instructions = pd.DataFrame({"instruction_id": ["7"], "question": ["Last creatinine?"]})
    >>> references = pd.DataFrame(
    ...     {"instruction_id": ["7"], "annotator": ["Annotator_1"], "reference": ["1.4 mg/dL"]})
    >>> scores = score_responses(responses, instructions, references, ["rouge_l", "chrf"])
    >>> scores[["system", "metric", "score"]].round(2).values.tolist()
    [['bm25', 'rouge_l', 0.67], ['bm25', 'chrf', 0.32]]
    """
    settings: dict[str, dict[str, Any]] = {
        "comet": {"checkpoint": comet_checkpoint},
        "bertscore": {"model": bertscore_model, "layer": bertscore_layer},
    }
    _check_metrics(metrics, settings)
    texts = _join(responses, instructions, references, annotator)
    if "comet" in metrics:
        checkpoint_path(comet_checkpoint)

    blocks = []
    for name in metrics:
        metric, options = METRICS[name], settings.get(name, {})
        columns = {
            "predictions": texts["response"].tolist(),
            "references": texts["reference"].tolist(),
        }
        if metric.needs_source:
            columns["sources"] = texts["question"].tolist()
        block = texts[["instruction_id", "system"]].copy()
        block["metric"] = name_comet(comet_checkpoint) if name == "comet" else name
        block["score"] = metric.score(**columns, **options, progress=progress)
        block["signature"] = metric.signature(**options)
        blocks.append(block)
    return pd.concat(blocks, ignore_index=True)


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
