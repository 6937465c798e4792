"""A release of the published size with constructed ratings that have the paper's accuracies."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from medalign_utils.evaluation import paper
from tests.builders.tiny_release import INSTRUCTIONS_HEADER, encounter, eventstream, lab

SYSTEMS = paper.human_evaluation()["release_model_name"].tolist()
N_INSTRUCTIONS, N_PATIENTS = 303, 275
COUNTS = np.rint(paper.human_evaluation()["correct"] * N_INSTRUCTIONS).astype(int).to_numpy()


class Verdicts(NamedTuple):
    """Verdicts and places (1 is best, ties equal): instructions x systems, in the paper's order."""

    correct: np.ndarray
    places: np.ndarray


def construct_verdicts(seed=1):
    """Return as many correct responses as published, ranked above all others, with many ties."""
    rng = np.random.default_rng(seed)
    easiest = rng.normal(size=(N_INSTRUCTIONS, len(SYSTEMS))).argsort(axis=0).argsort(axis=0)
    correct = easiest < COUNTS
    merit = 2 * correct + rng.integers(0, 2, size=correct.shape)
    return Verdicts(correct, rankdata(-merit, axis=1, method="dense").astype(int))


def write_paper_release(folder: Path, verdicts: Verdicts) -> Path:
    """Write a release with the verdicts in its table of reviewed responses.

    Instructions have the published categories. The better its place, the more words of the
    reference a response repeats, so a metric that counts words agrees with the ratings.
    """
    categories = paper.categories()
    asked = categories.loc[categories.index.repeat(categories["all"]), "category"].tolist()
    answered = categories.loc[categories.index.repeat(categories["with_reference"]), "category"]
    for category in answered:
        asked.remove(category)
    asked = [*answered, *asked]  # the first 303 have a reference
    (folder / "ehrs").mkdir(parents=True)
    for patient in range(N_PATIENTS):
        text = eventstream(str(patient), encounter(lab("2014-08-10 09:12", "1.4")))
        (folder / f"ehrs/{patient}.xml").write_text(text, "utf-8")
    words = "once twice thrice fourfold fivefold sixfold".split()
    ids = [f"{i:03}" for i in range(len(asked))]
    rows = {
        "all-instructions-rouge": (
            INSTRUCTIONS_HEADER.rstrip() + "\tcategory",
            ((i, f"Question {i}?", "", "", c) for i, c in zip(ids, asked, strict=True)),
        ),
        "clinician-instruction-responses": (
            "instruction_id\tquestion\tperson_id\tannotator_num\tclinician_response\tevidence",
            (
                (i, f"Question {i}?", row % N_PATIENTS, "Annotator_1", " ".join(words), "")
                for row, i in enumerate(ids[:N_INSTRUCTIONS])
            ),
        ),
        "clinician-reviewed-model-responses": (
            "instruction_id\tmodel_name\tbinary_correct\tis_used_eval\tmodel_output\trank\treviewer",
            (
                (ids[i], SYSTEMS[s], int(verdicts.correct[i, s]), "yes",
                 " ".join(words[: len(words) + 1 - place]), place, "constructed")
                for (i, s), place in np.ndenumerate(verdicts.places)
            ),
        ),
    }  # fmt: skip
    for stem, (header, lines) in rows.items():
        text = "".join("\t".join(map(str, line)) + "\n" for line in lines)
        (folder / f"{stem}.tsv").write_text(f"{header}\n{text}", "utf-8")
    return folder
