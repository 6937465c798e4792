"""Train comet-compact, the demo's small COMET: ``python -m tools.comet_compact.train OUT``.

It is unbabel-comet's ``RegressionMetric`` on the frozen encoder all-MiniLM-L6-v2. Only the mixture
of the encoder's layers and the estimator are trained. Mean pooling and mixing are linear, so each
distinct text is encoded once and only each layer's mean is kept, which makes epochs fast.

A program derives the labels from facts in synthetic responses, so the model shows nothing about how
well COMET agrees with clinicians.
"""

import argparse
import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import yaml

from medalign_utils.errors import MedAlignError
from medalign_utils.metrics.comet import (
    MINILM_HUB_ID,
    new_regression_metric,
    quiet_lightning,
)
from medalign_utils.stats.bootstrap import Bootstrap, bootstrap_means
from medalign_utils.stats.rank_correlation import kendall_tau_b
from tools.comet_compact.pairs import labelled_pairs

if TYPE_CHECKING:
    import torch
    from comet.models import RegressionMetric

NAME = "comet-compact"
COLUMNS = ("source", "prediction", "reference", "label", "instruction_id", "person_id", "fold")
FOLDS = ("train", "held_out")

# Chosen on releases with other seeds than those in use, holding out patients and templates.
EPOCHS = 10
BATCH_SIZE = 8  # instructions, each with all of its answers
LEARNING_RATE = 3e-4
TEMPERATURE = 0.1
# COMET settings that differ from its defaults.
SETTINGS = {
    "encoder_model": "BERT",
    "pool": "avg",
    "layer": "mix",
    "layer_norm": False,
    "dropout": 0.2,
    "hidden_sizes": [64],
    "final_activation": "Sigmoid",
    "nr_frozen_epochs": 1.0,
    "learning_rate": LEARNING_RATE,
}
# The order of a sum, and so its last bits, may depend on the number of threads, and training
# amplifies such differences. One thread is also fastest when cores are shared.
THREADS = 1
RESAMPLES = 2000
ENCODER_BATCH = 32


def train(
    pairs: pd.DataFrame, out: Path, *, seed: int, epochs: int = EPOCHS, progress: bool = True
) -> pd.DataFrame:
    """Train comet-compact and return the table of `correlate_held_out`.

    `pairs` has the columns source (the instruction), prediction, reference, label (0 to 1, 1 is
    best), instruction_id, person_id and fold ("train" or "held_out", without common patients or
    instructions); `check_pairs` raises. The table compares comet-compact with the untrained network
    and with the response's length, longer or shorter, whichever is better in the training fold.
    `out` gets ``model.safetensors`` (all weights except the encoder's), ``hparams.yaml`` and
    ``held_out.csv``. The same pairs, seed and machine give the same bytes. Source: Rei et al. 2020.
    """
    check_pairs(pairs)
    training, held_out = (pairs[pairs["fold"] == fold] for fold in FOLDS)
    with quiet_lightning(), _reproducible(seed):
        model = new_regression_metric(SETTINGS)
        texts = [*pairs["source"], *pairs["prediction"], *pairs["reference"]]
        means = _layer_means(model, texts, progress)
        untrained = _estimate(model, means, held_out)
        _fit(model, means, training, epochs, progress)
        trained = _estimate(model, means, held_out)
        _save(model, out)
    scores = {
        NAME: trained,
        "untrained estimator": untrained,
        "response length": _length_direction(training) * _lengths(held_out),
    }
    table = correlate_held_out(held_out, scores, rng=np.random.default_rng(seed))
    table.to_csv(out / "held_out.csv", index=False)
    if progress:
        print(table.to_string(index=False, float_format="%.3f"))
    return table


def check_pairs(pairs: pd.DataFrame) -> None:
    """Check a table of labelled pairs.

    Raises:
        MedAlignError: a column is missing, a label is outside [0, 1], a fold is unknown or empty, a
            patient or an instruction is in both folds, or no training instruction has answers with
            different labels.

    >>> row = {"source": "q", "prediction": "p", "reference": "r", "label": 1.5,
    ...        "instruction_id": "1", "person_id": "7", "fold": "train"}
    >>> check_pairs(pd.DataFrame([row]))
    Traceback (most recent call last):
    ...
    medalign_utils.errors.MedAlignError: check_pairs: label 1.5 of instruction 1, expected 0 to 1
    """
    missing = [column for column in COLUMNS if column not in pairs.columns]
    if missing:
        raise MedAlignError(
            f"check_pairs: no column {', '.join(missing)}; found: {', '.join(pairs.columns)}"
        )
    wrong = pairs[~pairs["label"].between(0, 1)]
    if len(wrong):
        row = wrong.iloc[0]
        raise MedAlignError(
            f"check_pairs: label {row['label']} of instruction {row['instruction_id']}, "
            "expected 0 to 1"
        )
    if set(pairs["fold"]) != set(FOLDS):
        raise MedAlignError(
            f"check_pairs: folds {sorted(set(pairs['fold']))}, expected {list(FOLDS)}"
        )
    for key in ("instruction_id", "person_id"):
        folds = pairs.groupby(key)["fold"].nunique()
        if (folds > 1).any():
            raise MedAlignError(f"check_pairs: {key} {folds.index[folds > 1][0]} is in both folds")
    if not len(_informative(pairs[pairs["fold"] == "train"])):
        raise MedAlignError(
            "check_pairs: no instruction of the fold train has answers with different labels, "
            "so there is nothing to learn"
        )


def correlate_held_out(
    held_out: pd.DataFrame, scores: Mapping[str, np.ndarray], *, rng: np.random.Generator
) -> pd.DataFrame:
    """Return one row per score: its mean Kendall's tau-b with the labels of each instruction.

    `scores` (name -> shape (N,), in the order of `held_out`) begins with the metric in question and
    ends with its baseline; a last row compares these two. n counts instructions with a defined tau,
    n_undefined those where all labels or all scores are tied; intervals are by bootstrap over
    patients.

    >>> held_out = pd.DataFrame({"label": [0, 0.5, 1] * 2, "instruction_id": list("111222"),
    ...                          "person_id": list("aaabbb")})
    >>> scores = {"good": np.array([1, 2, 3] * 2), "length": np.array([3, 2, 1, 1, 1, 1])}
    >>> correlate_held_out(held_out, scores, rng=np.random.default_rng(1)).iloc[:, :4]
                  metric  n  n_undefined  mean_tau
    0               good  2            0       1.0
    1             length  1            1      -1.0
    2  good minus length  1            1       2.0
    """
    taus = np.column_stack([_taus(held_out, score) for score in scores.values()])
    taus = np.column_stack([taus, taus[:, 0] - taus[:, -1]])
    first, *_, last = scores
    patients = held_out.groupby("instruction_id", sort=False)["person_id"].first()
    means = bootstrap_means(taus, patients, bootstrap=Bootstrap(RESAMPLES, rng))
    undefined = np.isnan(taus).sum(axis=0)
    return pd.DataFrame(
        {
            "metric": [*scores, f"{first} minus {last}"],
            "n": len(taus) - undefined,
            "n_undefined": undefined,
            "mean_tau": [mean.estimate for mean in means],
            "mean_tau_low": [mean.low for mean in means],
            "mean_tau_high": [mean.high for mean in means],
        }
    )


def _taus(pairs: pd.DataFrame, score: np.ndarray) -> np.ndarray:
    """Return Kendall's tau-b for each instruction, in order of first pairs; NaN if undefined."""
    labels = pairs["label"].to_numpy(dtype=np.float64)
    rows_of = pairs.groupby("instruction_id", sort=False).indices
    return np.array([kendall_tau_b(score[[rows]], labels[[rows]])[0] for rows in rows_of.values()])


def _lengths(pairs: pd.DataFrame) -> np.ndarray:
    return pairs["prediction"].str.len().to_numpy()


def _length_direction(pairs: pd.DataFrame) -> int:
    """Return 1 if longer responses are better, -1 if shorter ones are."""
    return -1 if np.nansum(_taus(pairs, _lengths(pairs))) < 0 else 1


@contextlib.contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """Make PyTorch's results reproducible, and restore the caller's settings afterwards."""
    import torch

    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(THREADS)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(strict)


def _layer_means(
    model: "RegressionMetric", texts: list[str], progress: bool
) -> dict[str, "torch.Tensor"]:
    """Return, for each distinct text, the mean over its tokens, one row per layer."""
    import torch
    from comet.models.pooling_utils import average_pooling
    from tqdm.auto import tqdm

    tokenizer = model.encoder.tokenizer
    distinct = sorted(set(texts), key=lambda text: (len(text), text))
    batches = [distinct[i : i + ENCODER_BATCH] for i in range(0, len(distinct), ENCODER_BATCH)]
    means = {}
    with torch.no_grad():
        for batch in tqdm(batches, "encode", unit="batch", disable=not progress):
            tokens = model.encoder.prepare_sample(batch)
            ids, mask = tokens["input_ids"], tokens["attention_mask"]
            layers = [
                average_pooling(ids, layer, mask, tokenizer.pad_token_id, tokenizer.sep_token_id)
                for layer in model.encoder(ids, mask)["all_layers"]
            ]
            means.update(zip(batch, torch.stack(layers, dim=1), strict=True))
    return means


def _score(
    model: "RegressionMetric", means: dict[str, "torch.Tensor"], pairs: pd.DataFrame
) -> "torch.Tensor":
    """Return scores of shape (N,) by mixing layers as the model does and running its estimator."""
    import torch

    mixture = model.layerwise_attention
    weights = torch.softmax(torch.cat(list(mixture.scalar_parameters)), dim=0)
    columns = [
        mixture.gamma
        * torch.einsum("l,nlu->nu", weights, torch.stack([means[text] for text in pairs[column]]))
        for column in ("source", "prediction", "reference")
    ]
    return model.estimate(*columns).score


def _informative(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs of instructions with answers that are not all tied."""
    return pairs[pairs.groupby("instruction_id")["label"].transform("nunique") > 1]


def _estimate(
    model: "RegressionMetric", means: dict[str, "torch.Tensor"], pairs: pd.DataFrame
) -> np.ndarray:
    """Return scores for evaluation: float64, shape (N,)."""
    import torch

    model.eval()
    with torch.no_grad():
        return _score(model, means, pairs).numpy().astype(np.float64)


def _fit(
    model: "RegressionMetric",
    means: dict[str, "torch.Tensor"],
    pairs: pd.DataFrame,
    epochs: int,
    progress: bool,
) -> None:
    """Fit the layer mixture and the estimator to the order of each instruction's answers.

    COMET's squared error is unsuitable, since labels are places among one instruction's answers.
    """
    import torch
    from torch.nn.functional import softplus
    from tqdm.auto import tqdm

    learnt = [*model.layerwise_attention.parameters(), *model.estimator.parameters()]
    optimizer = torch.optim.AdamW(learnt, lr=LEARNING_RATE)
    pairs = _informative(pairs)
    groups = list(pairs.groupby("instruction_id", sort=False).indices.values())
    model.train()
    for _epoch in tqdm(range(epochs), "train", unit="epoch", disable=not progress):
        for chosen in torch.randperm(len(groups)).split(BATCH_SIZE):
            batch = pairs.iloc[np.concatenate([groups[i] for i in chosen])]
            score = _score(model, means, batch)
            label = torch.tensor(batch["label"].to_numpy(dtype=np.float32))
            instruction = torch.tensor(pd.factorize(batch["instruction_id"])[0])
            lead = label[:, None] - label[None]
            better = (lead > 0) & (instruction[:, None] == instruction[None])
            margin = (score[:, None] - score[None])[better]
            loss = (lead[better] * softplus(-margin / TEMPERATURE)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def _save(model: "RegressionMetric", out: Path) -> None:
    """Write the settings, which name the encoder, and all weights except the encoder's."""
    from safetensors.torch import save_file

    out.mkdir(parents=True, exist_ok=True)
    weights = {name: w for name, w in model.state_dict().items() if not name.startswith("encoder.")}
    save_file(weights, out / "model.safetensors")
    settings = {**model.hparams, "pretrained_model": MINILM_HUB_ID}
    (out / "hparams.yaml").write_text(yaml.safe_dump(settings), "utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train comet-compact on four releases.")
    parser.add_argument("out", type=Path, help="folder to write, e.g. models/comet-compact")
    parser.add_argument("--patients", type=int, default=10, help="default %(default)s")
    parser.add_argument("--instructions", type=int, default=100, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default %(default)s")
    args = parser.parse_args()
    table = labelled_pairs(patients=args.patients, instructions=args.instructions, seed=args.seed)
    train(table, args.out, seed=args.seed)
