"""The metrics by name: each line below adds those of a module."""

# ruff: noqa: F401
from medalign_utils.metrics.base import Metric
from medalign_utils.metrics.bertscore import BERTSCORE
from medalign_utils.metrics.bleurt import BLEURT
from medalign_utils.metrics.chrf import CHRF
from medalign_utils.metrics.comet import COMET
from medalign_utils.metrics.google_bleu import GOOGLE_BLEU
from medalign_utils.metrics.lens import LENS
from medalign_utils.metrics.meteor import METEOR, METEOR_13A
from medalign_utils.metrics.rouge import ROUGE_L, ROUGE_L_STEMMED
from medalign_utils.metrics.unieval import UNIEVAL

METRICS = {metric.name: metric for metric in (*globals().values(),) if isinstance(metric, Metric)}
