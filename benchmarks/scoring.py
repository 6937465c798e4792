"""Speed of COMET, BERTScore and the bootstrap against the libraries' own calls and a plain loop.

Six extractive systems answer 60 instructions of a synthetic release. In every round, both ways run
in alternating order; the result is the median ratio. Models are loaded beforehand, both ways run on
the CPU, and their results must agree to 1e-5. `make benchmark` runs this as part of `speed.py`; by
itself it takes a few minutes.

`python benchmarks/scoring.py --device-check` scores the same texts on the GPU and on the CPU and
fails if COMET or BERTScore differ by more than 1e-4.
"""

import argparse
import dataclasses
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
from tqdm import tqdm

from medalign_utils.config import load_system
from medalign_utils.data.release import load_release, primary_references
from medalign_utils.generation import runner
from medalign_utils.metrics import bertscore, comet
from medalign_utils.minilm import minilm_path
from medalign_utils.paths import COMET_COMPACT, resolve
from medalign_utils.stats.bootstrap import Bootstrap, bootstrap_means, percentile_levels
from medalign_utils.synthetic import write_release

N_INSTRUCTIONS = 60
SYSTEMS = ("bm25-full", "bm25-8k", "bm25-4k", "bm25-2k", "recent-note-2k", "random-2k")
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)  # tried for the library's predict (its default: 16)
LAYER = 6
REPEATS = 5
TOLERANCE, DEVICE_TOLERANCE = 1e-5, 1e-4
N_PATIENTS, N_TAUS, RESAMPLES = 275, 303, 10_000


def texts(folder: Path) -> pd.DataFrame:
    """Return instruction, system, source, prediction and reference: 60 x 6 rows."""
    write_release(folder / "release")
    release = load_release(folder / "release")
    references = primary_references(release.references, release.annotator)
    release = dataclasses.replace(release, references=references.head(N_INSTRUCTIONS))
    responses = []
    for name in SYSTEMS:
        # bm25-2k with a longer context; minilm-2k would take longer than all measurements.
        system = load_system(name.replace("4k", "2k")) | {"system": name}
        if name == "bm25-4k":
            system["context_length"] = 4096
        path = folder / f"{name}.jsonl"
        responses.append(runner.run_system(release, system, path, progress=False))
    table = pd.concat(responses, ignore_index=True)[["instruction_id", "system", "response"]]
    lookup = table["instruction_id"].map
    question = release.instructions.set_index("instruction_id")["question"]
    return table.rename(columns={"response": "prediction"}).assign(
        source=lookup(question),
        reference=lookup(references.set_index("instruction_id")["reference"]),
    )


def seconds(call: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def compare(
    baseline: str, plain: Callable[[], np.ndarray], ours: Callable[[], np.ndarray], repeats: int
) -> dict:
    """Time both in turn, after one unmeasured call; return ratios and the largest difference."""
    difference = float(np.abs(plain() - ours()).max())
    if not difference <= TOLERANCE:
        raise SystemExit(f"{baseline}: differs by {difference:.1e}, more than {TOLERANCE}")
    took = {plain: [], ours: []}
    for turn in tqdm(range(repeats), baseline):
        for call in (plain, ours) if turn % 2 else (ours, plain):
            took[call].append(seconds(call)[0])
    ratios = np.array(took[plain]) / took[ours]
    return {
        "against": baseline,
        "plain": np.median(took[plain]),
        "ours": np.median(took[ours]),
        "ratio": np.median(ratios),
        "lowest": ratios.min(),
        "highest": ratios.max(),
        "difference": difference,
    }


def comet_rows(tables: Sequence[pd.DataFrame], path: Path, repeats: int) -> Iterator[dict]:
    """Compare with the library's `predict` at its fastest batch size (median of 3 runs)."""
    model = comet.load_comet(comet.find_comet(path))
    best = None
    for table in tables:
        columns = [table[name].tolist() for name in ("source", "prediction", "reference")]
        predict = predict_by(model, columns)
        if best is None:
            predict(BATCH_SIZES[0])  # warm up
            took = {size: [] for size in BATCH_SIZES}
            for size in tqdm(BATCH_SIZES * 3, "predict"):
                took[size].append(seconds(partial(predict, size))[0])
            best = min(took, key=lambda size: np.median(took[size]))
        with mock.patch.object(comet, "load_comet", return_value=model):
            yield compare(
                f"COMET: the library's `predict`, batch size {best}",
                partial(predict, best),
                partial(comet.score_comet, *columns, checkpoint=path),
                repeats,
            ) | {"promised": 2.5}


def predict_by(model, columns: Sequence[Sequence[str]]) -> Callable[[int], np.ndarray]:
    """Return a function that gives the library's scores of these texts at a batch size."""
    samples = [
        {"src": source, "mt": prediction, "ref": reference}
        for source, prediction, reference in zip(*columns, strict=True)
    ]

    def predict(batch_size: int) -> np.ndarray:
        with comet.quiet_lightning():
            output = model.predict(samples, batch_size, gpus=0, num_workers=0, progress_bar=False)
        return np.array(output.scores)

    return predict


def bertscore_rows(table: pd.DataFrame, repeats: int) -> Iterator[dict]:
    """Compare with `BERTScorer.score`, called once per system and once for all."""
    from bert_score import BERTScorer

    scorer = BERTScorer(model_type=str(minilm_path()), num_layers=LAYER, device="cpu")
    predictions, references = table["prediction"].tolist(), table["reference"].tolist()
    groups = list(table.groupby("system").indices.values())

    def stock(groups: Sequence[np.ndarray]) -> np.ndarray:
        scores = np.empty(len(table))
        for rows in groups:
            scores[rows] = scorer.score(
                [predictions[i] for i in rows], [references[i] for i in rows]
            )[2]
        return scores

    def ours() -> np.ndarray:
        return bertscore.score_bertscore(predictions, references, model="minilm", layer=LAYER)

    loaded = bertscore._load("minilm", LAYER)
    with mock.patch.object(bertscore, "_load", return_value=loaded):
        yield compare(
            "BERTScore: one stock call per system", lambda: stock(groups), ours, repeats
        ) | {"promised": 2.5}
        everything = [np.arange(len(table))]
        yield compare(
            "BERTScore: one stock call for all", lambda: stock(everything), ours, repeats
        ) | {"promised": 1.25}


def bootstrap_row(repeats: int) -> dict:
    """Compare with a loop that draws the same patients and averages their taus."""
    rng = np.random.default_rng(1)
    taus = rng.choice([np.nan, *np.linspace(-1, 1, 15)], size=N_TAUS)
    repeated = rng.integers(0, N_PATIENTS, size=N_TAUS - N_PATIENTS)
    patients = np.concatenate([np.arange(N_PATIENTS), repeated])
    names = np.array([f"{patient:03}" for patient in patients])
    taus_of = [taus[patients == patient] for patient in range(N_PATIENTS)]

    def loop() -> np.ndarray:
        rng = np.random.default_rng(2)
        means = []
        for _ in range(RESAMPLES):
            drawn = rng.integers(0, N_PATIENTS, size=N_PATIENTS)
            means.append(np.nanmean(np.concatenate([taus_of[patient] for patient in drawn])))
        levels = percentile_levels(sum(np.isfinite(own).any() for own in taus_of))
        return np.array([np.nanmean(taus), *np.quantile(means, levels)])

    def ours() -> np.ndarray:
        bootstrap = Bootstrap.seeded(RESAMPLES, 2)
        return np.array(bootstrap_means(taus[:, np.newaxis], names, bootstrap=bootstrap)[0])

    baseline = f"Bootstrap of a mean tau, {RESAMPLES:,} resamples: a loop"
    return compare(baseline, loop, ours, repeats) | {"promised": 15}


def scoring(repeats: int = REPEATS) -> list[str]:
    """Return the section of RESULTS.md."""
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
        # Only our side would use a GPU.
        mock.patch("torch.cuda.is_available", return_value=False),
    ):
        warnings.simplefilter("ignore")  # about empty or truncated responses
        table = texts(Path(folder))
        distinct = table.assign(
            prediction=[f"{i}. {text}" for i, text in enumerate(table["prediction"])]
        )
        path = resolve(COMET_COMPACT)
        tables = {table["prediction"].nunique(): table for table in (distinct, table)}
        blocks = [
            ("", bootstrap_row(repeats)),
            *zip(tables, comet_rows([*tables.values()], path, repeats), strict=True),
            *((n, row) for n, rows in tables.items() for row in bertscore_rows(rows, repeats)),
        ]
    return [
        f"## Scoring {N_INSTRUCTIONS} instructions x {len(SYSTEMS)} systems, MiniLM",
        "",
        f"On the CPU; results agree to {TOLERANCE}; models are loaded beforehand; the ratio is the "
        f"median (range) of {repeats} rounds. Some systems give the same response; in the rows "
        f"with {len(table)} distinct responses, a number makes each one different. "
        f"The bootstrap is over {N_TAUS} instructions of {N_PATIENTS} patients.",
        "",
        "| against | distinct responses | plain, s | ours, s | ratio | promised | "
        "largest difference |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {row['against']} | {n} | {row['plain']:.2f} | {row['ours']:.2f} | "
            f"{row['ratio']:.1f} ({row['lowest']:.1f} to {row['highest']:.1f}) | "
            f"{row['promised']} | {row['difference']:.0e} |"
            for n, row in blocks
        ),
        "",
    ]


def device_check() -> None:
    """Compare scores on GPU and CPU for references, an empty and a long response."""
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("--device-check needs a GPU that PyTorch can use")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_release(Path(folder, "release"))
        release = load_release(Path(folder, "release"))
        table = primary_references(release.references, release.annotator)
        question = release.instructions.set_index("instruction_id")["question"]
        sources = table["instruction_id"].map(question).tolist()
        references = table["reference"].tolist()
        # Each prediction is another instruction's reference; the last two are empty and long.
        predictions = [*references[2:], "", "pain " * 10_000]
        path = resolve(COMET_COMPACT)
        calls = {
            "COMET": lambda: comet.score_comet(sources, predictions, references, checkpoint=path),
            "BERTScore": lambda: bertscore.score_bertscore(
                predictions, references, model="minilm", layer=LAYER
            ),
        }
        for name, call in calls.items():
            with mock.patch("torch.cuda.is_available", return_value=False):
                on_the_cpu = call()
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            on_the_gpu = call()
            if torch.cuda.max_memory_allocated() <= before:
                raise SystemExit(f"{name}: nothing was computed on the GPU")
            difference = np.abs(on_the_gpu - on_the_cpu).max()
            print(f"{name}: {len(sources)} scores, largest difference {difference:.1e}")
            if not difference <= DEVICE_TOLERANCE:
                raise SystemExit(f"{name}: the difference exceeds {DEVICE_TOLERANCE}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=REPEATS, help="default %(default)s")
    parser.add_argument("--device-check", action="store_true", help="compare the GPU with the CPU")
    args = parser.parse_args()
    if args.device_check:
        device_check()
    else:
        print("\n".join(scoring(args.repeats)))


if __name__ == "__main__":
    main()
