"""A ratings table that has the marginals of the paper's table of systems, found by a seeded search.

It is constructed: one of very many tables with these marginals, no clinician's verdict in it.
`python tests/paper_ratings.py` prints the distance reached, and writes the head-to-head matrix that
goes with it to data/paper/constructed_head_to_head.csv. A few seconds.
"""

import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from medalign_utils.evaluation import paper as published
from medalign_utils.evaluation import systems
from medalign_utils.evaluation.paper import human_evaluation
from tests.builders.tiny_release import INSTRUCTIONS_HEADER, encounter, eventstream, lab

N_INSTRUCTIONS, N_PATIENTS = 303, 275
SEED = 1
# To so many places the paper prints them.
PLACES = {"correct": 3, "win_rate": 3, "mean_rank": 2}
# Changes tried in one step, and steps after which the search gives up.
CANDIDATES, STEPS = 1000, 3000
# The search ends when every figure is this share of a half unit of its last place from the paper's.
CLOSE = 0.6
STATUS = "constructed: one of many tables with the published marginals, not the clinicians' ratings"
MATRIX = Path(__file__).parents[2] / "data/paper/constructed_head_to_head.csv"


class Found(NamedTuple):
    """Instructions x systems, in the paper's order: verdicts, and places from 1, equal if tied."""

    correct: np.ndarray
    places: np.ndarray


def find_ratings(table: pd.DataFrame, n: int, rng: np.random.Generator) -> Found:
    """Search for verdicts and orders of n instructions whose marginals are those of `table`.

    The number of correct responses is exact from the start: an instruction has a difficulty, and a
    system is correct on those that come out easiest for it. An order puts every correct response
    above every incorrect one, and is otherwise free, ties included. From random orders on, a step
    draws `CANDIDATES` pairs of instructions with another order for each, and takes the pair that
    brings all win rates and mean ranks together closest to the paper's. Both follow from how often
    each system wins against each other one, so it is this matrix that a step changes.
    """
    k = len(table)
    correct = _draw_correct(np.rint(table["correct"] * n).astype(int), n, rng)
    levels = _weak_orders(k)
    beats = (levels[:, :, np.newaxis] < levels[:, np.newaxis, :]).astype(np.int16)
    patterns, of_row = np.unique(correct, axis=0, return_inverse=True)
    allowed = [np.flatnonzero((beats | ~_outranks(one)).all(axis=(1, 2))) for one in patterns]
    sizes = np.array([len(one) for one in allowed])
    starts, flat = np.cumsum(sizes) - sizes, np.concatenate(allowed)

    def draw(rows: np.ndarray) -> np.ndarray:
        """A random allowed order for each row."""
        pattern = of_row[rows]
        return flat[starts[pattern] + rng.integers(sizes[pattern])]

    order = draw(np.arange(n))
    wins = beats[order].sum(axis=0)
    for _ in range(STEPS):
        off = _deviations(wins[np.newaxis], n, table)
        if np.abs(off).max() < CLOSE:
            break
        # Two at a time: the change of one alone is coarser than what the paper prints.
        rows = np.stack([rng.integers(n, size=CANDIDATES), rng.integers(n, size=CANDIDATES)])
        rows = rows[:, rows[0] != rows[1]]
        tried = draw(rows)
        candidates = wins + (beats[tried] - beats[order[rows]]).sum(axis=0)
        errors = np.square(_deviations(candidates, n, table)).sum(axis=1)
        best = errors.argmin()
        if errors[best] < np.square(off).sum():
            order[rows[:, best]], wins = tried[:, best], candidates[best]
    return Found(correct, levels[order] + 1)


def ratings_of(found: Found, systems: list[str]) -> pd.DataFrame:
    """As `systems.check_ratings` describes them, ties sharing the average of their places."""
    n, k = found.correct.shape
    return pd.DataFrame(
        {
            "instruction_id": np.repeat([f"{i:03}" for i in range(n)], k),
            "system": systems * n,
            "correct": found.correct.ravel(),
            "rank": pd.DataFrame(found.places).rank(axis=1).to_numpy().ravel(),
        }
    )


def distance(ratings: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """How far the ratings' table is from the paper's: column, unrounded and rounded, at most."""
    ours = systems.win_rates(ratings)
    ours["correct"] = ratings.groupby("system")["correct"].mean()
    ours, theirs = ours.loc[table["release_model_name"]], table.set_index("release_model_name")
    return pd.DataFrame(
        {
            "column": column,
            "unrounded": (ours[column] - theirs[column]).abs().max(),
            "rounded": (ours[column].round(places) - theirs[column]).abs().max().round(places),
        }
        for column, places in PLACES.items()
    )


def write_paper_release(folder: Path, found: Found, systems: list[str]) -> Path:
    """Write a release of the published size whose table of reviewed responses holds the ratings.

    Instructions are of the published categories. A response is as many words of the reference as
    its place is good, so a metric that counts words orders responses as the ratings do.
    """
    categories = published.categories()
    asked = categories.loc[categories.index.repeat(categories["all"]), "category"].tolist()
    answered = categories.loc[categories.index.repeat(categories["with_reference"]), "category"]
    for category in answered:
        asked.remove(category)
    asked = [*answered, *asked]  # the first 303 have a reference
    (folder / "ehrs").mkdir(parents=True)
    for patient in range(N_PATIENTS):
        text = eventstream(str(patient), encounter(lab("2014-08-10 09:12", "1.4")))
        (folder / f"ehrs/{patient}.xml").write_text(text, "utf-8")
    n, k = found.correct.shape
    ids = [f"{i:03}" for i in range(len(asked))]
    rows = {
        "all-instructions-rouge": (
            INSTRUCTIONS_HEADER.rstrip() + "\tcategory",
            ((i, f"Question {i}?", "", "", c) for i, c in zip(ids, asked, strict=True)),
        ),
        "clinician-instruction-responses": (
            "instruction_id\tquestion\tperson_id\tannotator_num\tclinician_response\tevidence",
            (
                (i, f"Question {i}?", row % N_PATIENTS, "Annotator_1", _words(k), "")
                for row, i in enumerate(ids[:n])
            ),
        ),
        "clinician-reviewed-model-responses": (
            "instruction_id\tmodel_name\tbinary_correct\tis_used_eval\tmodel_output\trank\treviewer",
            (
                (ids[i], systems[s], int(found.correct[i, s]), "yes", _words(k + 1 - place), place,
                 "constructed")
                for (i, s), place in np.ndenumerate(found.places)
            ),
        ),
    }  # fmt: skip
    for stem, (header, lines) in rows.items():
        text = "".join("\t".join(map(str, line)) + "\n" for line in lines)
        (folder / f"{stem}.tsv").write_text(f"{header}\n{text}", "utf-8")
    return folder


def matrix_table(ratings: pd.DataFrame) -> pd.DataFrame:
    """The head-to-head matrix as the committed table has it: system, opponent, win_rate, status."""
    rates = systems.head_to_head(ratings).stack().dropna().rename("win_rate")
    return rates.reset_index().assign(status=STATUS)


def _words(n: int) -> str:
    return " ".join("once twice thrice fourfold fivefold sixfold".split()[:n])


def _draw_correct(counts: pd.Series, n: int, rng: np.random.Generator) -> np.ndarray:
    ease = rng.normal(size=(n, 1)) + rng.normal(size=(n, len(counts)))
    return (-ease).argsort(axis=0).argsort(axis=0) < counts.to_numpy()


def _weak_orders(k: int) -> np.ndarray:
    """All orders of k things with ties, each as levels from 0 without a gap: 4,683 for six."""
    return np.array(
        [
            levels
            for levels in itertools.product(range(k), repeat=k)
            if set(levels) == set(range(max(levels) + 1))
        ]
    )


def _outranks(correct: np.ndarray) -> np.ndarray:
    """Which system must be above which: the correct ones above the incorrect ones."""
    return correct[:, np.newaxis] & ~correct[np.newaxis, :]


def _deviations(wins: np.ndarray, n: int, table: pd.DataFrame) -> np.ndarray:
    """Win rates and mean ranks less the paper's, in half units of its last place.

    Args:
        wins: shape (M, k, k), how often each system is above each other one.

    Returns: shape (M, 2 k).
    """
    k = wins.shape[1]
    losses = wins.swapaxes(1, 2)
    # The diagonal is 0 / 1, so it adds nothing to the mean over k - 1 opponents.
    win_rate = (wins / np.maximum(wins + losses, 1)).sum(axis=2) / (k - 1)
    # A system's rank is 1 + its losses + half its ties, and n = wins + losses + ties.
    mean_rank = (k + 1) / 2 - (wins - losses).sum(axis=2) / (2 * n)
    return np.hstack(
        [
            (win_rate - table["win_rate"].to_numpy()) / (0.5 * 10 ** -PLACES["win_rate"]),
            (mean_rank - table["mean_rank"].to_numpy()) / (0.5 * 10 ** -PLACES["mean_rank"]),
        ]
    )


def main() -> None:
    table = human_evaluation()
    systems = table["release_model_name"].tolist()
    matrices = []
    for seed in range(SEED, SEED + 5):
        found = find_ratings(table, N_INSTRUCTIONS, np.random.default_rng(seed))
        ratings = ratings_of(found, systems)
        matrices.append(matrix_table(ratings))
        print(f"seed {seed}, largest deviation from the paper's figures:")
        print(distance(ratings, table).to_string(index=False))
    rates = pd.concat(matrices).groupby(["system", "opponent"])["win_rate"]
    print(
        f"cells of the matrix differ between these by up to {(rates.max() - rates.min()).max():.3f}"
    )
    matrices[0].to_csv(MATRIX, index=False)


if __name__ == "__main__":
    main()
