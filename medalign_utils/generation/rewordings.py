"""Answers to rewordings of the instructions; only the error analysis reads them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from medalign_utils import paths
from medalign_utils.data.responses import read_responses
from medalign_utils.data.rewordings import find_rewordings
from medalign_utils.generation.runner import run_system
from medalign_utils.run import Run


def answer_rewordings(run: Run, system: Mapping[str, Any], **options: Any) -> pd.DataFrame:
    """Return a system's responses to `find_rewordings`, as `run_system` does with these options.

    Their file and store are apart from those of the instructions, so that no score, cost or rating
    includes them. Without rewordings, the file is empty.

    Raises:
        MedAlignError: as `run_system`.
    """
    file = paths.rewordings(run.experiment, system["system"])
    rewordings = find_rewordings(run.release)
    if rewordings.empty:
        paths.write_text("", file, private=run.is_restricted)
        return read_responses(file)
    release = replace(run.release, instructions=rewordings, only_with_reference=False)
    return run_system(release, system, file, **options)
