"""What packing, reading, asking a server and scoring cost against the plain way of doing it.

`make benchmark` runs this and writes benchmarks/RESULTS.md. Each figure is a ratio within one run:
the plain way and ours take turns on the same EHRs, and the median of their ratios counts. About
35 minutes on 2 cores.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import xmltodict
from medalign_utils.prompts.packing import pack_ehrs
from scoring import scoring
from throughput import CONCURRENCY, throughput
from throughput import PROMISED as PROMISED_THROUGHPUT
from tokenizers import Tokenizer
from tqdm import tqdm

from medalign_utils.curation import deduplicate_and_match
from medalign_utils.curation.validation import check_release
from medalign_utils.data.ehr import EVENT_COLUMNS, ehr_text, read_events
from medalign_utils.data.release import load_release, load_submitted
from medalign_utils.prompts.templates import check_fits, load_tokenizer, pack_all
from medalign_utils.synthetic import write_release

N_EHRS, N_INSTRUCTIONS = 3, 11  # instructions an EHR
EHR_BYTES = 1_500_000
CONTEXTS = (2_048, 32_768, 100_000)
# Ratios that the project promises: context -> in one process, with worker processes.
PROMISED = {2_048: (200, None), 32_768: (13, 20), 100_000: (4, 7)}
WORKERS = os.cpu_count() or 1


def full_size_ehrs(release: Path) -> list[Path]:
    """Those EHRs of a release of the published size that are nearest to the size wanted."""
    files = sorted((release / "ehrs").iterdir())
    return sorted(files, key=lambda file: abs(file.stat().st_size - EHR_BYTES))[:N_EHRS]


def pack_plainly(
    questions: list[str], text: str, tokenizer: Tokenizer, context_length: int
) -> Iterator[list[int]]:
    """For each instruction encode the whole EHR, keep the last tokens, decode them."""
    for question in questions:
        budget = context_length - 256 - check_fits(question, tokenizer, context_length)
        ids = tokenizer.encode(text, add_special_tokens=False).ids[-budget:]
        tokenizer.decode(ids)
        yield ids


def read_plainly(file: Path) -> pd.DataFrame:
    """XML to nested dicts to a list of dicts, one an event, to the same DataFrame."""
    lists = ("encounter", "entry", "event")
    tree = xmltodict.parse(file.read_bytes(), force_list=lists, strip_whitespace=False)
    person_id = tree["eventstream"]["@person_id"]
    rows = []
    for number, encounter in enumerate(tree["eventstream"]["encounter"]):
        person = encounter["person"]
        facts = {
            "birthdate": person["birthdate"],
            "age_days": person["age"]["days"],
            "age_years": person["age"]["years"],
            "gender": person["demographics"]["gender"],
            "race": person["demographics"]["race"],
            "ethnicity": person["demographics"]["ethnicity"],
            "payerplan": person["payerplan"],
        }
        for name, value in facts.items():
            if value not in (None, "", "NULL"):
                about = {"type": "person", "name": name, "value": value, "source_text": value}
                at = {"timestamp": encounter["@start_timestamp"], "encounter": number}
                rows.append({"person_id": person_id, **at, **about})
        for entry in encounter["events"]["entry"]:
            for event in entry["event"]:
                text = event.get("#text") or ""
                row = {
                    "person_id": person_id,
                    "timestamp": entry["@timestamp"],
                    "encounter": number,
                    "type": event["@type"],
                    "code": event.get("@code"),
                    "name": event.get("@name"),
                    "value": text.strip(),
                    "unit": event.get("@unit"),
                    "note_id": event.get("@note_id"),
                }
                row = {key: None if item in ("", "NULL") else item for key, item in row.items()}
                rows.append(row | {"source_text": text})
    table = pd.DataFrame(rows, columns=list(EVENT_COLUMNS))
    table["timestamp"] = pd.to_datetime(table["timestamp"]).astype("datetime64[s]")
    return table


def seconds(call: Callable) -> tuple[float, object]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def packing(files: list[Path]) -> list[dict]:
    tokenizer = load_tokenizer("minilm")
    questions = [f"What was the last creatinine in {2000 + n}?" for n in range(N_INSTRUCTIONS)]
    texts = [ehr_text(file, "markup") for file in files]
    rows = []
    for context in tqdm(CONTEXTS, "packing"):
        plain, ours, same, compared = [], [], 0, 0
        for text in texts:
            took, expected = seconds(lambda t=text, c=context: list(
                pack_plainly(questions, t, tokenizer, c)))  # fmt: skip
            plain.append(took)
            took, packed = seconds(lambda t=text, c=context: list(
                pack_all(questions, t, tokenizer, c)))  # fmt: skip
            ours.append(took)
            for ids, one in zip(expected, packed, strict=True):
                kept = tokenizer.encode(one.prompt.ehr, add_special_tokens=False).ids
                compared += len(ids)
                same += sum(a == b for a, b in zip(reversed(ids), reversed(kept), strict=False))
        tasks = [(file, questions) for file in files]
        in_workers, _ = seconds(lambda t=tasks, c=context: list(
            pack_ehrs(t, "markup", "minilm", c, workers=WORKERS, count=False)))  # fmt: skip
        rows.append(
            {
                "context": context,
                "plain": np.median(plain) / N_INSTRUCTIONS,
                "ours": np.median(ours) / N_INSTRUCTIONS,
                "ratio": np.median(np.array(plain) / np.array(ours)),
                "workers": sum(plain) / in_workers,
                "same": same / compared,
                "dropped": compared - same,
                "compared": compared,
            }
        )
    return rows


def reading(files: list[Path], repeats: int) -> dict:
    plain, ours = [], []
    for _ in tqdm(range(repeats), "reading"):
        for file in files:
            took, expected = seconds(lambda f=file: read_plainly(f))
            plain.append(took)
            took, events = seconds(lambda f=file: read_events(f))
            ours.append(took)
            for column in EVENT_COLUMNS:
                left, right = events[column].astype(object), expected[column].astype(object)
                if not ((left == right) | (left.isna() & right.isna())).all():
                    raise SystemExit(f"{file.name}: column {column} differs")
    return {
        "events": len(expected),
        "plain": np.median(plain),
        "ours": np.median(ours),
        "ratio": np.median(np.array(plain) / np.array(ours)),
    }


def full_size(folder: Path) -> tuple[Path, list[tuple[str, float]]]:
    """A release of the published size, and how long it takes to write, check and match it."""
    release = folder / "release"
    wrote, _ = seconds(lambda: write_release(release, scale="release", progress=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    checked, _ = seconds(lambda: check_release(release))
    data = load_release(release)
    submitted = load_submitted(data)
    deduplicated, found = seconds(
        lambda: deduplicate_and_match.drop_near_duplicates(submitted["question"].tolist(), 0.7)
    )
    pool = sorted(data.instructions["person_id"].unique())
    matched, _ = seconds(
        lambda: deduplicate_and_match.rank_patients(
            data, submitted[found["duplicate_of"].isna()], pool
        )
    )
    rows = [
        ("write it, s", wrote),
        ("peak memory of the process until then, MB", peak),
        ("check it, s", checked),
        (f"drop near-duplicates of {len(submitted):,} instructions, s", deduplicated),
        (f"match what is left to {len(pool)} EHRs by BM25, s", matched),
    ]
    return release, rows


def report(
    packed: list[dict],
    read: dict,
    asked: dict[str, float],
    scored: list[str],
    full: list[tuple[str, float]],
) -> str:
    lines = [
        "# Benchmarks",
        "",
        f"Made by `make benchmark` on {WORKERS} cores; ratios within one run, medians of turns.",
        "",
        f"## Packing: {N_EHRS * N_INSTRUCTIONS} instructions over {N_EHRS} EHRs of "
        f"{EHR_BYTES / 1e6:.1f} MB (`markup`, MiniLM's tokenizer)",
        "",
        "The plain way encodes the whole EHR for each instruction, keeps the last tokens, decodes.",
        "",
        "| context | plain, s an instruction | ours, s | ratio | promised | "
        f"{WORKERS} worker processes | promised | tokens kept alike |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in packed:
        alone, together = PROMISED[row["context"]]
        lines.append(
            f"| {row['context']:,} | {row['plain']:.3f} | {row['ours']:.4f} | {row['ratio']:.1f} | "
            f"{alone} | {row['workers']:.1f} | {together or ''} | {row['same']:.5%} |"
        )
    lines += [
        "",
        "Tokens are compared one by one from the newest on. They differ at the oldest end only: "
        "where the cut parts a word, the rest of the word is other tokens than it was within it, "
        "and where it takes more of them, one more token is dropped to keep to the budget.",
        "",
        "## Reading: XML to the events table",
        "",
        "The plain way is xmltodict, a dict an event, and a DataFrame of them; same rows.",
        "",
        "| events | plain, s | ours, s | ratio | promised |",
        "|---:|---:|---:|---:|---:|",
        f"| {read['events']:,} | {read['plain']:.3f} | {read['ours']:.3f} | "
        f"{read['ratio']:.1f} | 3 |",
        "",
        "## Asking a server that answers after 200 ms",
        "",
        "`run_system` at a concurrency against one by one; responses a second.",
        "",
        f"| one by one | {CONCURRENCY} at a time | ratio | promised |",
        "|---:|---:|---:|---:|",
        f"| {asked['alone']:.2f} | {asked['together']:.1f} | {asked['ratio']:.1f} | "
        f"{PROMISED_THROUGHPUT} |",
        "",
        *scored,
        "## A release of the published size",
        "",
        "| | |",
        "|---|---:|",
        *(f"| {what} | {value:,.0f} |" for what, value in full),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="of reading; default %(default)s")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/RESULTS.md"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        release, full = full_size(Path(folder))
        files = full_size_ehrs(release)
        text = report(packing(files), reading(files, args.repeats), throughput(), scoring(), full)
    args.out.write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main()
