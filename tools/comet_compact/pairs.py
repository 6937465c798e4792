"""Labelled pairs from synthetic releases, for training comet-compact.

The benchmark uses neither these patients (other seeds) nor these instruction templates. Every
fourth template is in the held-out fold, which has separate patients. Responses come from the
extractive systems and, in the training fold only, from references to the same and to other
instructions; labels come from the answer key.
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
    """Return labelled responses to four temporary synthetic releases, one per row.

    `label` in [0, 1] is the response's place among those to its instruction: 1 is best, ties are
    averaged. `seed` chooses the misplaced references; the seeds of the releases are fixed.

    Raises:
        MedAlignError: the patients yield too few instructions.
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
    held_out = set(templates[::4])
    is_held_out = fold == "held_out"
    chosen = {i for i, line in key.items() if (line["template"] in held_out) == is_held_out}
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
    ratings = rate_with_answer_key(answers, key, release.questions)
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
            # Ids are unique only within a release.
            "instruction_id": folder.name + "/" + ids,
            "person_id": folder.name + "/" + ids.map(asked["person_id"]),
            "fold": fold,
        }
    )


def _references_as_responses(key: dict[str, dict], rng: random.Random) -> pd.DataFrame:
    """Return each instruction's reference, one of the same template and one of another."""
    rows = []
    for i, line in key.items():
        same = [o for o in key if o != i and key[o]["template"] == line["template"]]
        other = [o for o in key if key[o]["template"] != line["template"]]
        rows.append((i, "reference", line["reference"]))
        for name, pool in (("same template", same), ("other template", other)):
            if pool:
                rows.append((i, name, key[rng.choice(pool)]["reference"]))
    return pd.DataFrame(rows, columns=["instruction_id", "system", "response"])
