"""Labelled pairs from synthetic releases, to train comet-compact.

Patients (releases of other seeds) and instruction templates are not the benchmark's. Every fourth
template is in the held-out fold, with patients of its own. Responses come from the extractive
systems and, in the training fold only, from references put to the wrong use; labels come from the
answer key.
"""

import random
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from medalign_utils.data.release import load_release
from medalign_utils.generation.runner import run_system
from medalign_utils.grading import load_answer_key, rate_with_answer_key
from medalign_utils.synthetic import write_release
from tools.comet_compact.templates import TRAINING

TRAINING_SEEDS, HELD_OUT_SEEDS = (1001, 1002), (2001, 2002)
SYSTEMS = {
    "bm25-full": {"generator": "bm25_passage", "context_length": None},
    "bm25-2k": {"generator": "bm25_passage", "context_length": 2048},
    "recent-note-2k": {"generator": "recent_note", "context_length": 2048},
    "random-2k": {"generator": "random_passage", "context_length": 2048, "seed": 1},
}


def labelled_pairs(
    *, patients: int = 10, instructions: int = 100, seed: int = 1, progress: bool = True
) -> pd.DataFrame:
    """Return the labelled answers to four synthetic releases, which are written and removed again.

    Args:
        patients: of each release.
        instructions: of each release.
        seed: of the choice of misplaced references; the releases' own seeds are fixed.
        progress: show progress bars.

    Returns:
        The columns that `train` needs, one row per response; `label` in [0, 1] is its place among
        the responses to its instruction, 1 for the best, ties averaged.

    Raises:
        MedAlignError: the patients do not yield that many instructions.
    """
    folds = [("train", s) for s in TRAINING_SEEDS] + [("held_out", s) for s in HELD_OUT_SEEDS]
    tables = []
    with tempfile.TemporaryDirectory() as folder:
        for fold, release_seed in tqdm(folds, "training releases", disable=not progress):
            out = Path(folder) / str(release_seed)
            write_release(
                out,
                patients=patients,
                instructions=instructions,
                seed=release_seed,
                templates=TRAINING,
            )
            tables.append(_pairs_of_release(out, fold, random.Random(f"{seed} {release_seed}")))
    return pd.concat(tables, ignore_index=True)


def _pairs_of_release(folder: Path, fold: str, rng: random.Random) -> pd.DataFrame:
    release = load_release(folder)
    key = load_answer_key(release.answer_key_path)
    templates = sorted({line["template"] for line in key.values()})
    kept = set(templates[::4])
    chosen = {i for i, line in key.items() if (line["template"] in kept) == (fold == "held_out")}
    references = release.references
    release = replace(release, references=references[references["instruction_id"].isin(chosen)])
    common = {"format": "lines", "tokenizer": "minilm"}
    responses = [
        run_system(release, {**system, **common}, folder / f"{name}.jsonl", progress=False)
        for name, system in SYSTEMS.items()
    ]
    if fold == "train":
        responses.append(_references_as_responses({i: key[i] for i in sorted(chosen)}, rng))
    answers = pd.concat(responses, ignore_index=True)
    ratings = rate_with_answer_key(answers, key)
    worst = ratings.groupby("instruction_id")["rank"].transform("size")
    ratings["label"] = (worst - ratings["rank"]) / (worst - 1)
    table = answers.merge(ratings, on=["instruction_id", "system"], validate="one_to_one")
    asked = release.instructions.set_index("instruction_id")
    ids = table["instruction_id"]
    return pd.DataFrame(
        {
            "source": ids.map(asked["question"]),
            "prediction": table["response"],
            "reference": ids.map({i: line["reference"] for i, line in key.items()}),
            "label": table["label"],
            # An id is unique within a release only.
            "instruction_id": folder.name + "/" + ids,
            "person_id": folder.name + "/" + ids.map(asked["person_id"]),
            "fold": fold,
        }
    )


def _references_as_responses(key: dict[str, dict], rng: random.Random) -> pd.DataFrame:
    """The right reference, one of the same template and one of any other, for each instruction."""
    rows = []
    for i, line in key.items():
        same = [o for o in key if o != i and key[o]["template"] == line["template"]]
        other = [o for o in key if key[o]["template"] != line["template"]]
        rows.append((i, "reference", line["reference"]))
        for name, pool in (("same template", same), ("other template", other)):
            if pool:
                rows.append((i, name, key[rng.choice(pool)]["reference"]))
    return pd.DataFrame(rows, columns=["instruction_id", "system", "response"])
