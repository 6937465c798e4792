"""The paper's published figures, from `data/paper/`."""

import pandas as pd

from medalign_utils.paths import resolve

# GPT-4 as a whole and cut to Vicuna's context: what a short context costs, in the paper.
SAME_MODEL = ("gpt4-32k", "gpt4-32k-vicuna-context")


def human_evaluation() -> pd.DataFrame:
    """The paper's table of the six systems.

    Returns:
        system (as the paper prints it), release_model_name, context_tokens, correct, win_rate,
        mean_rank; one row a system.

    >>> human_evaluation()["release_model_name"].tolist()[:2]
    ['gpt4-32k-multistep-refinement', 'gpt4-32k']
    """
    return pd.read_csv(resolve("data/paper/table_human_evaluation.csv"))


def context_lengths() -> dict[str, int | None]:
    """The context length of each released system, in tokens; None for multi-step refinement.

    Refinement sees the whole record, however little at a time.

    >>> context_lengths()["gpt4-32k-vicuna-context"]
    2048
    """
    table = human_evaluation()
    lengths = zip(table["release_model_name"], table["context_tokens"], strict=True)
    return {name: None if "refinement" in name else int(tokens) for name, tokens in lengths}
