"""Patient ids and group labels."""

import numpy as np
import pandas as pd

from medalign_utils.data.disclosure import DisclosableGroups


def ids(n: int) -> np.ndarray:
    return np.array([f"p{i:03}" for i in range(n)], dtype=object)


def grouped(**columns) -> DisclosableGroups:
    labels = pd.DataFrame(columns, index=ids(len(next(iter(columns.values())))), dtype=object)
    return DisclosableGroups(labels, dict.fromkeys(columns, ""))
