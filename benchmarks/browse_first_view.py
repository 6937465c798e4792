"""How long a clinician waits for a long record in notebook 01's explorer.

`python benchmarks/browse_first_view.py` writes an EHR of 100,000 events, 2,000 of them notes, to a
temporary folder and prints how many seconds each step takes in the kernel (best of three): reading
the file, viewing the events, both together, and the steps that follow.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from unittest import mock

import pandas as pd

from medalign_utils.data.ehr import read_events
from medalign_utils.data.release import Release
from medalign_utils.explorer import widget

SENTENCES = (
    "Walks well.",
    "Denies fever or cough.",
    "On metoprolol 25 mg daily.",
    "No chest pain.",
)
CODED = (
    ("measurement", "LOINC/2160-0", "Creatinine", "mg/dL", "1.4"),
    ("measurement", "LOINC/8480-6", "Systolic blood pressure", "mmHg", "128"),
    ("condition", "ICD10CM/I10", "Essential hypertension", "", ""),
    ("drug_exposure", "RxNorm/6918", "metoprolol", "", "start"),
    ("procedure", "CPT4/99213", "Office visit", "", ""),
    ("observation", "SNOMED/8517006", "Former smoker", "", ""),
)


def write_ehr(file: Path, n_events: int) -> None:
    """Write 20 years of encounters with 50 events each, one of them a note of 3,000 characters."""
    rng = random.Random(1)
    encounters = n_events // 50
    lines = [f'<eventstream person_id="{file.stem}">']
    for i in range(encounters):
        start = datetime(2000, 1, 1) + i * timedelta(days=7300) / encounters
        lines.append("<encounter><events>")
        for minute in range(49):
            kind, code, name, unit, value = rng.choice(CODED)
            lines.append(f'<entry timestamp="{start + timedelta(minutes=minute):%Y-%m-%d %H:%M}">')
            attributes = f'type="{kind}" code="{code}" name="{name}" unit="{unit}"'
            lines.append(f"<event {attributes}>{value}</event></entry>")
        text = " ".join(rng.choices(SENTENCES, k=180))
        lines.append(f'<entry timestamp="{start + timedelta(hours=1):%Y-%m-%d %H:%M}">')
        lines.append(
            f'<event type="note" code="STANFORD_NOTE/1" name="Progress note">{text}</event>'
        )
        lines.append("</entry></events></encounter>")
    file.write_text("\n".join([*lines, "</eventstream>"]))


def release_of(folder: Path) -> Release:
    columns = ["question", "category", "subcategory", "submitter_specialty"]
    instructions = pd.DataFrame(
        [["1", "1"], ["2", "none"]], columns=["instruction_id", "person_id"], dtype="str"
    ).assign(**dict.fromkeys(columns, "Which beta blocker?"))
    references = pd.DataFrame(
        {"instruction_id": ["1"], "annotator": "Annotator_1", "reference": "Metoprolol."}
    ).assign(evidence="On metoprolol 25 mg daily; report of 01/01/2010")
    return Release(folder, instructions, references, "Annotator_1", {}, None, None, None)


def seconds(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000, help="default %(default)s")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "ehrs", "1.xml")
        file.parent.mkdir()
        write_ehr(file, args.events)
        print(f"{args.events:,} events, {file.stat().st_size / 1e6:.1f} MB")
        explorer = widget.explore(release_of(Path(folder)))
        rows = []
        for _ in range(3):
            row = {"reading": seconds(lambda: read_events(file))}
            explorer.patient.value = None
            row["reading and viewing"] = seconds(lambda: setattr(explorer.patient, "value", "1"))
            explorer.patient.value = None
            with mock.patch.object(widget, "read_events", return_value=read_events(file)):
                row["viewing"] = seconds(lambda: setattr(explorer.patient, "value", "1"))
            row["next note"] = seconds(explorer.older.click)
            row["search"] = seconds(lambda: setattr(explorer.search, "value", "Chest Pain"))
            row["instruction"] = seconds(lambda: setattr(explorer.instruction, "value", "1"))
            rows.append(row)
    print(pd.DataFrame(rows).min().round(2).to_string())


if __name__ == "__main__":
    main()
