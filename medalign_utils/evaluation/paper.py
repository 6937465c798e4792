"""The paper's published figures, from `data/paper/`."""

import pandas as pd

from medalign_utils.paths import resolve

# GPT-4 as a whole and cut to Vicuna's context: what a short context costs, in the paper.
SAME_MODEL = ("gpt4-32k", "gpt4-32k-vicuna-context")
# What the column `status` says of figures on which nothing may rest.
UNVERIFIED = "transcribed, not re-verified"
REMEMBERED = "as remembered, not re-verified"
# Beside every figure that is UNVERIFIED.
DAGGER = "\N{DAGGER}"


def sources() -> pd.DataFrame:
    """What each table of `data/paper/` is.

    Returns:
        One row a table (the index, its file's stem): title; source; status, how far it was checked.

    >>> sources().loc["table_metric_correlation", "status"]
    'transcribed, not re-verified'
    """
    return pd.read_csv(resolve("data/paper/tables.csv"), index_col="table")


def categories() -> pd.DataFrame:
    """The paper's numbers of instructions: category, with_reference, all.

    >>> categories()[["with_reference", "all"]].sum().tolist()
    [303, 983]
    """
    return pd.read_csv(resolve("data/paper/table_categories.csv"))


def n_rated() -> int:
    """How many instructions the paper's systems were rated on: those with a reference.

    >>> n_rated()
    303
    """
    return int(categories()["with_reference"].sum())


def facts() -> pd.DataFrame:
    """Sizes of the dataset, and the paper's protocol: fact, value, unit, source, status.

    >>> facts().set_index("fact").loc["instructions rated three times", "status"]
    'as remembered, not re-verified'
    """
    return pd.read_csv(resolve("data/paper/facts.csv"))


def human_evaluation() -> pd.DataFrame:
    """The paper's table of the six systems.

    Returns:
        system (as the paper prints it), release_model_name, context_tokens, correct, win_rate,
        mean_rank; one row a system.

    >>> human_evaluation()["release_model_name"].tolist()[:2]
    ['gpt4-32k-multistep-refinement', 'gpt4-32k']
    """
    return pd.read_csv(resolve("data/paper/table_human_evaluation.csv"))


def metric_correlation() -> pd.DataFrame:
    """The paper's correlations of metrics with the clinicians' ranks, not re-verified.

    Whatever shows one of these values shows `DAGGER` and `UNVERIFIED` with it; nothing is tested
    against them.

    Returns:
        metric (as the paper prints it), source_augmented, mean_kendall_tau, ci_low, ci_high,
        status; one row a metric, and one for the clinicians among themselves.

    >>> set(metric_correlation()["status"])
    {'unverified'}
    """
    return pd.read_csv(resolve("data/paper/table_metric_correlation.csv"))


def constructed_head_to_head() -> pd.DataFrame:
    """A head-to-head matrix that the paper's table allows, for the paper gives win rates alone.

    It is that of the ratings that `tests/paper_ratings.py` finds: one of many, not the clinicians'.

    Returns:
        As `evaluation.head_to_head`, systems bearing the paper's names.

    >>> constructed_head_to_head().shape
    (6, 6)
    """
    cells = pd.read_csv(resolve("data/paper/constructed_head_to_head.csv"))
    names = human_evaluation().set_index("release_model_name")["system"]
    order = cells["system"].unique()
    matrix = cells.pivot(index="system", columns="opponent", values="win_rate").loc[order, order]
    return matrix.rename(index=names, columns=names)


def context_lengths() -> dict[str, int | None]:
    """The context length of each released system, in tokens; None for multi-step refinement.

    Refinement sees the whole record, however little at a time.

    >>> context_lengths()["gpt4-32k-vicuna-context"]
    2048
    """
    table = human_evaluation()
    lengths = zip(table["release_model_name"], table["context_tokens"], strict=True)
    return {name: None if "refinement" in name else int(tokens) for name, tokens in lengths}
