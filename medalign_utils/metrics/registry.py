"""The metrics by name."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from medalign_utils.metrics.bertscore import score_bertscore, signature_bertscore
from medalign_utils.metrics.bleurt import score_bleurt, signature_bleurt
from medalign_utils.metrics.chrf import score_chrf, signature_chrf
from medalign_utils.metrics.comet import name_comet, score_comet, signature_comet
from medalign_utils.metrics.google_bleu import score_google_bleu, signature_google_bleu
from medalign_utils.metrics.lens import score_lens, signature_lens
from medalign_utils.metrics.meteor import names_meteor, score_meteor, signature_meteor
from medalign_utils.metrics.rouge import score_rouge_l, signature_rouge_l
from medalign_utils.metrics.unieval import names_unieval, score_unieval, signature_unieval


class Metric(NamedTuple):
    """A metric's functions; each also takes the metric's settings as keyword arguments.

    - ``score(responses=..., references=..., progress=...)`` returns float64 of shape (N,), or
      (N, names) if there are several names; with `needs_question` it also takes ``questions``
    - ``signature()`` returns the settings as text
    - ``names()`` returns the names of the scores, if they differ from the metric's key

    ``score`` and ``signature`` raise `NotAvailableError` if weights cannot be reached.
    """

    score: Callable[..., np.ndarray]
    signature: Callable[..., str]
    needs_question: bool = False
    names: Callable[..., Sequence[str]] | None = None


METRICS = {
    "comet": Metric(score_comet, signature_comet, True, names=lambda **s: [name_comet(**s)]),
    "bertscore": Metric(score_bertscore, signature_bertscore),
    "meteor": Metric(score_meteor, signature_meteor, names=names_meteor),
    "chrf": Metric(score_chrf, signature_chrf),
    "google_bleu": Metric(score_google_bleu, signature_google_bleu),
    "rouge_l": Metric(score_rouge_l, signature_rouge_l),
    "bleurt": Metric(score_bleurt, signature_bleurt),
    "lens": Metric(score_lens, signature_lens, needs_question=True),
    "unieval": Metric(score_unieval, signature_unieval, needs_question=True, names=names_unieval),
}
