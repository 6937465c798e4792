"""What a run has made so far, for the notebook that one starts with."""

import pandas as pd

from medalign_utils import paths
from medalign_utils.outputs import OUTPUTS, stem
from medalign_utils.provenance.records import read_record


def responses_so_far(experiment: str) -> pd.DataFrame:
    """Return the systems that have answered in a run: system, n_responses, is_scored."""
    files = sorted(paths.responses(experiment, "x").parent.glob("*.jsonl"))
    rows = [
        {
            "system": file.stem,
            "n_responses": len(file.read_text(encoding="utf-8").splitlines()),
            "is_scored": "yes" if paths.scores(experiment, file.stem).is_file() else "no",
        }
        for file in files
    ]
    return pd.DataFrame(rows, columns=["system", "n_responses", "is_scored"])


def results_so_far(experiment: str) -> pd.DataFrame:
    """Return what each notebook has saved in a run: notebook, tables, figures, saved_on.

    Notebooks without tables and figures are left out. `tables` and `figures` are counts such as
    "5 of 6"; `saved_on` is the date of the last one, "" if there is none.
    """
    rows = []
    for notebook, outputs in OUTPUTS.items():
        if not any(outputs):
            continue
        files = {
            kind: [file_of(experiment, stem(notebook, suffix)) for suffix in getattr(outputs, kind)]
            for kind, file_of in (("tables", paths.table), ("figures", paths.figure))
        }
        counts = {
            kind: f"{sum(file.is_file() for file in listed)} of {len(listed)}"
            for kind, listed in files.items()
        }
        record = read_record(experiment, notebook) or {"date": ""}
        rows.append({"notebook": notebook, **counts, "saved_on": record["date"][:10]})
    return pd.DataFrame(rows)
