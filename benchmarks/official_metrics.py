"""Write the tables of docs/metrics.md: the metrics, and their scores beside the official packages'.

    .venv/bin/python -m nltk.downloader wordnet punkt_tab  # unless they are installed
    .venv/bin/python benchmarks/official_metrics.py

The scores are also in benchmarks/official_metrics.csv. An official score is computed by the
official package's own function with its defaults.
"""

import re
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from math import isinf
from pathlib import Path
from unittest import mock

import pandas as pd

from medalign_utils.metrics import meteor
from medalign_utils.metrics.base import Metric
from medalign_utils.metrics.registry import METRICS
from medalign_utils.metrics.scoring import score

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs/metrics.md"

REFERENCE = "The physician prescribed atorvastatin 40 mg daily; allergies: penicillin."
RESPONSES = {
    "a sentence": "His doctor prescribed atorvastatin 40 mg daily. Allergy to penicillin.",
    "Markdown": "- _Statin_: **atorvastatin 40 mg/day**\n- _Allergies_: penicillin",
    "punctuation": "; : .",
}
QUESTION = "Which statin, and any allergies?"


def rouge_score(response: str, *, stemmer: bool = False) -> float:
    from rouge_score.rouge_scorer import RougeScorer

    return (
        RougeScorer(["rougeL"], use_stemmer=stemmer).score(REFERENCE, response)["rougeL"].fmeasure
    )


def nltk_meteor(response: str) -> float:
    """Return NLTK's METEOR, as Hugging Face's evaluate calls it; LookupError without data."""
    from nltk import word_tokenize
    from nltk.translate.meteor_score import single_meteor_score

    return single_meteor_score(word_tokenize(REFERENCE), word_tokenize(response))


def evaluate_google_bleu(response: str) -> float:
    from nltk.translate.gleu_score import corpus_gleu
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    reference, words = (Tokenizer13a()(text).split() for text in (REFERENCE, response))
    return corpus_gleu([[reference]], [words])


def sacrebleu_chrf(response: str) -> float:
    from sacrebleu import sentence_chrf

    return sentence_chrf(response, [REFERENCE]).score / 100


def bert_score(response: str) -> float:
    from bert_score import score as library

    from medalign_utils.minilm import minilm_path

    _, _, f1 = library([response], [REFERENCE], str(minilm_path()), num_layers=6)
    return f1.item()


def comet(response: str) -> float:
    from medalign_utils.metrics.comet import find_comet, load_comet
    from medalign_utils.paths import COMET_COMPACT, resolve

    model = load_comet(find_comet(resolve(COMET_COMPACT)))
    sample = {"src": QUESTION, "mt": response, "ref": REFERENCE}
    return model.predict([sample], batch_size=1, gpus=0, progress_bar=False).scores[0]


# Metric -> its official package, and a function that scores a response by it. The packages of
# BLEURT, LENS and UniEval need weights.
OFFICIAL: dict[str, tuple[str, Callable[[str], float]]] = {
    "bertscore": ("bert-score", bert_score),
    "chrf": ("sacrebleu", sacrebleu_chrf),
    "comet": ("unbabel-comet", comet),
    "google_bleu": ("evaluate (NLTK, 13a)", evaluate_google_bleu),
    "meteor": ("evaluate (NLTK)", nltk_meteor),
    "meteor_no_wordnet": ("evaluate (NLTK)", nltk_meteor),
    "meteor_13a": ("evaluate (NLTK)", nltk_meteor),
    "rouge_l": ("rouge-score", rouge_score),
    "rouge_l_stemmed": ("rouge-score", rouge_score),
}


def compared(names: Iterable[str] = OFFICIAL) -> pd.DataFrame:
    """Return the scores here and by the official package: one row per metric and response.

    Columns: metric, package, response, here, official.
    """
    rows, n = [], len(RESPONSES)
    for name in names:
        package, official = OFFICIAL[name]
        metric, without = re.fullmatch("(.*?)(_no_wordnet)?", name).groups()
        patch = mock.patch.object(meteor, "_wordnet", lambda: None) if without else nullcontext()
        with patch:
            table = score(
                [*RESPONSES.values()], [REFERENCE] * n, [metric], questions=[QUESTION] * n
            )
        for kind, here in zip(RESPONSES, table.iloc[:, 0], strict=True):
            rows.append((name, package, kind, here, official(RESPONSES[kind])))
    return pd.DataFrame(rows, columns=["metric", "package", "response", "here", "official"])


def comparison_table(table: pd.DataFrame) -> str:
    """Return the scores in Markdown: a row per metric, and in each cell here and (official)."""
    cells = table["here"].map("{:.2f}".format) + " (" + table["official"].map("{:.2f}".format) + ")"
    wide = table.assign(cell=cells).pivot(
        index=["metric", "package"], columns="response", values="cell"
    )
    wide = wide[[*RESPONSES]].reset_index()
    wide["metric"] = [f"`{name}`" for name in wide["metric"]]
    heads = {"metric": "Scores", "package": "Official package"}
    return _markdown(wide.rename(columns=heads))


def metric_table(metrics: Iterable[Metric]) -> str:
    """Return the metrics in Markdown: name, range, what they compare and need, source."""
    rows = []
    for metric in metrics:
        low, high = (f"{bound:g}".replace("-", "−") for bound in metric.range)
        needs = ["the instruction"] * metric.needs_question + ["a model"] * metric.needs_weights
        rows.append(
            {
                "Metric": f"`{metric.name}`",
                "Label": metric.label,
                "Range": "unbounded" if isinf(metric.range[1]) else f"{low} to {high}",
                "What it compares": metric.compares,
                "Also needs": ", ".join(needs),
                "Source": metric.citation,
            }
        )
    return _markdown(pd.DataFrame(rows))


def _markdown(table: pd.DataFrame) -> str:
    rows = [list(table), ["---"] * table.shape[1], *table.to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def with_tables(page: str, **tables: str) -> str:
    """Return the page with each table between its comments, such as `<!-- metrics -->`."""
    for name, table in tables.items():
        pattern = f"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)"
        page = re.sub(pattern, lambda m, text=table: m[1] + text + m[2], page, flags=re.DOTALL)
    return page


if __name__ == "__main__":
    scores = compared().round(6)
    scores.to_csv(HERE / "official_metrics.csv", index=False)
    tables = {"metrics": metric_table(METRICS.values()), "official": comparison_table(scores)}
    PAGE.write_text(with_tables(PAGE.read_text("utf-8"), **tables), encoding="utf-8")
    print("\n\n".join(tables.values()))
