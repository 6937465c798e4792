"""Speed of packing, reading, asking a server and scoring, against the usual and the simplest way.

`make benchmark` runs this and writes benchmarks/RESULTS.md. Each result is a median ratio within
one run, in which the ways take turns on the same EHRs. About 40 minutes on 2 cores. To measure only
some sections again: `PYTHONPATH=. .venv/bin/python benchmarks/speed.py --only asking batching`.
"""

import argparse
import itertools
import os
import re
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import xmltodict
from batching import BATCH, N, batching
from lxml import etree
from scoring import scoring
from throughput import CONCURRENCY, PROMISED_DEAD, dead_servers, throughput
from throughput import PROMISED as PROMISED_THROUGHPUT
from tqdm import tqdm

from medalign_utils.curation import deduplicate_and_match
from medalign_utils.curation.validation import check_release
from medalign_utils.data.ehr import EVENT_COLUMNS, ehr_text, read_events
from medalign_utils.data.release import load_release, load_submitted
from medalign_utils.prompts.context import check_fits, truncate
from medalign_utils.prompts.templates import RESPONSE_TOKENS, fill
from medalign_utils.prompts.tokenizers import PromptTokenizer, load_tokenizer
from medalign_utils.synthetic import write_release

N_EHRS, N_INSTRUCTIONS = 3, 11  # instructions per EHR
EHR_BYTES = 1_500_000
CONTEXTS = (2_048, 32_768, 100_000)
# Promised ratios to HELM's way of packing and to xmltodict.
PROMISED = {2_048: 100, 32_768: 20, 100_000: 7}
PROMISED_READING = 1.5


def full_size_ehrs(release: Path) -> list[Path]:
    """Return the EHRs of a release that are nearest to `EHR_BYTES`."""
    files = sorted((release / "ehrs").iterdir())
    return sorted(files, key=lambda file: abs(file.stat().st_size - EHR_BYTES))[:N_EHRS]


def pack_like_helm(
    question: str, text: str, tokenizer: PromptTokenizer, context_length: int
) -> list[int]:
    """Encode the whole EHR, keep the last tokens and decode them."""
    budget = context_length - RESPONSE_TOKENS - check_fits(question, tokenizer, context_length)
    ids = tokenizer.encode(text).ids[-budget:]
    tokenizer.backend.decode(ids)
    return ids


def pack_simply(question: str, text: str, tokenizer: PromptTokenizer, context_length: int) -> str:
    """Encode the EHR's end at 8 characters per token, cut at a token, check the prompt."""
    limit = context_length - RESPONSE_TOKENS
    budget = limit - check_fits(question, tokenizer, context_length)
    size, starts = 8 * budget, []
    while len(starts) <= budget and size < 2 * len(text):
        end = text[-size:]
        starts = tokenizer.starts(end)
        size *= 2
    first = max(len(starts) - budget, 0)
    while len(tokenizer.prompt_ids(fill(question, end[starts[first] :]).text)) > limit:
        first += 1
    return end[starts[first] :]


# Path in an encounter's <person> -> name of the person event.
PERSON = {
    "birthdate": "birthdate",
    "age/days": "age_days",
    "age/years": "age_years",
    "demographics/gender": "gender",
    "demographics/race": "race",
    "demographics/ethnicity": "ethnicity",
    "payerplan": "payerplan",
}


def read_by_xmltodict(file: Path) -> pd.DataFrame:
    """Convert XML to nested dicts, to a list of events, to the same DataFrame."""
    lists = ("encounter", "entry", "event")
    tree = xmltodict.parse(file.read_bytes(), force_list=lists, strip_whitespace=False)
    rows = []
    for number, encounter in enumerate(tree["eventstream"]["encounter"]):
        person = encounter["person"]
        for place, name in PERSON.items():
            outer, _, inner = place.partition("/")
            value = person[outer][inner] if inner else person[outer]
            rows.append(_row(encounter["@start_timestamp"], number, "person", name, value or ""))
        for entry in encounter["events"]["entry"]:
            for event in entry["event"]:
                rest = (event.get(f"@{key}") for key in ("code", "unit", "note_id"))
                text = event.get("#text") or ""
                row = _row(entry["@timestamp"], number, event["@type"], event.get("@name"), text)
                rows.append(row | dict(zip(("code", "unit", "note_id"), rest, strict=True)))
    return _table(rows, tree["eventstream"]["@person_id"])


def read_by_iterparse(file: Path) -> pd.DataFrame:
    """Read each encounter with `lxml.iterparse`, without checks: the simplest sensible way."""
    rows = []
    for number, (_, encounter) in enumerate(etree.iterparse(file, tag="encounter")):
        start = encounter.get("start_timestamp")
        for place, name in PERSON.items():
            value = encounter.findtext(f"person/{place}", "")
            rows.append(_row(start, number, "person", name, value))
        for entry in encounter.iterfind("events/entry"):
            for event in entry:
                rest = {key: event.get(key) for key in ("code", "unit", "note_id")}
                about = event.get("type"), event.get("name"), event.text or ""
                rows.append(_row(entry.get("timestamp"), number, *about) | rest)
        person_id = encounter.getparent().get("person_id")
        encounter.clear()
    return _table(rows, person_id)


def _row(timestamp: str, number: int, kind: str, name: str | None, text: str) -> dict:
    row = {"timestamp": timestamp, "encounter": number, "type": kind, "name": name}
    return row | {"value": text.strip(), "source_text": text}


def _table(rows: list[dict], person_id: str) -> pd.DataFrame:
    table = pd.DataFrame(rows).assign(person_id=person_id)[list(EVENT_COLUMNS)]
    own = table.columns.drop("source_text")
    table[own] = table[own].replace(["", "NULL"], None)
    table = table[(table["type"] != "person") | table["value"].notna()].reset_index(drop=True)
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
        took = {"helm": [], "simplest": [], "ours": []}
        ways = {"helm": pack_like_helm, "simplest": pack_simply, "ours": truncate}
        same_tokens = tokens = same_text = 0
        for text in texts:
            found = {}
            for name, pack in ways.items():
                time_taken, found[name] = seconds(
                    lambda p=pack, t=text, c=context: [p(q, t, tokenizer, c) for q in questions]
                )
                took[name].append(time_taken)
            for ids, kept, packed in zip(*found.values(), strict=True):
                own = tokenizer.encode(packed.prompt.ehr).ids
                tokens += len(ids)
                same_tokens += sum(a == b for a, b in zip(ids[::-1], own[::-1], strict=False))
                same_text += kept == packed.prompt.ehr
        medians = {name: np.median(times) / N_INSTRUCTIONS for name, times in took.items()}
        ratios = {f"{name}_ratio": _ratio(took[name], took["ours"]) for name in took}
        same = {"same_tokens": same_tokens / tokens, "same_text": same_text}
        rows.append({"context": context} | medians | ratios | same)
    return rows


def reading(files: list[Path], repeats: int) -> dict:
    ways = {"xmltodict": read_by_xmltodict, "simplest": read_by_iterparse, "ours": read_events}
    took = {name: [] for name in ways}
    for _ in tqdm(range(repeats), "reading"):
        for file in files:
            found = {}
            for name, read in ways.items():
                time_taken, found[name] = seconds(lambda r=read, f=file: r(f))
                took[name].append(time_taken)
            events = found.pop("ours")
            for (name, other), column in itertools.product(found.items(), EVENT_COLUMNS):
                left, right = events[column].astype(object), other[column].astype(object)
                if not ((left == right) | (left.isna() & right.isna())).all():
                    raise SystemExit(f"{file.name}: column {column} of {name} differs")
    medians = {name: np.median(times) for name, times in took.items()}
    ratios = {f"{name}_ratio": _ratio(took[name], took["ours"]) for name in took}
    return {"events": len(events)} | medians | ratios


def _ratio(times: list[float], ours: list[float]) -> float:
    return float(np.median(np.array(times) / np.array(ours)))


def full_size(folder: Path) -> tuple[Path, list[tuple[str, float]]]:
    """Return a release of the published size and the time to write, check and match it."""
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
        ("peak memory until then, MB", peak),
        ("check it, s", checked),
        (f"drop near-duplicates of {len(submitted):,} instructions, s", deduplicated),
        (f"match the rest to {len(pool)} EHRs by BM25, s", matched),
    ]
    return release, rows


def of_packing(rows: list[dict]) -> list[str]:
    n = N_EHRS * N_INSTRUCTIONS
    lines = [
        f"## Packing: {n} instructions over {N_EHRS} EHRs of {EHR_BYTES / 1e6:.1f} MB (`markup`, "
        "MiniLM's tokenizer)",
        "",
        "| context | HELM's way, s per instruction | simplest, s | ours, s | HELM's / ours | "
        "promised | simplest / ours | HELM's tokens kept | simplest's text kept |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        lines.append(
            f"| {row['context']:,} | {row['helm']:.3f} | {row['simplest']:.4f} | {row['ours']:.4f} "
            f"| {row['helm_ratio']:.1f} | {PROMISED[row['context']]} | {row['simplest_ratio']:.1f} "
            f"| {row['same_tokens']:.5%} | {row['same_text']} of {n} |"
        )
    return [
        *lines,
        "",
        "HELM's way encodes the whole EHR for each instruction, keeps the last tokens and decodes "
        "them. The simplest sensible way encodes, for each instruction, the end of the EHR at 8 "
        "characters per token, cuts at a token and checks the finished prompt. Ours does the same, "
        "but encodes the end once for all instructions of a patient and checks prompts without "
        "offsets. Counting only the edges of a prompt would be several times faster still, but "
        "takes 100 more lines to save about a minute on 303 instructions at 100,000 tokens.",
        "",
        "The tokens differ from HELM's only at the oldest end: if the cut splits a word, the rest "
        "of the word may need more tokens, and then one token is dropped.",
    ]


def of_reading(row: dict) -> list[str]:
    return [
        "## Reading: XML to the events table",
        "",
        "| events | xmltodict, s | simplest, s | ours, s | xmltodict / ours | promised | "
        "simplest / ours |",
        "|---:|---:|---:|---:|---:|---:|---:|",
        f"| {row['events']:,} | {row['xmltodict']:.3f} | {row['simplest']:.3f} | "
        f"{row['ours']:.3f} | {row['xmltodict_ratio']:.1f} | {PROMISED_READING} | "
        f"{row['simplest_ratio']:.1f} |",
        "",
        "The simplest sensible way is `lxml.iterparse`, one encounter at a time, without checks. "
        "Ours does the same with checks that name file and line. All tables are equal.",
    ]


def of_asking() -> list[str]:
    asked = throughput()
    return [
        "## Asking a server that answers after 200 ms",
        "",
        "Responses per second of `run_system`, one prompt at a time and several at a time.",
        "",
        f"| one by one | {CONCURRENCY} at a time | ratio | promised |",
        "|---:|---:|---:|---:|",
        f"| {asked['alone']:.2f} | {asked['together']:.1f} | {asked['ratio']:.1f} | "
        f"{PROMISED_THROUGHPUT} |",
    ]


def of_dead_servers() -> list[str]:
    return [
        "## Asking a dead server",
        "",
        "Seconds until a run of 40 prompts stops and says why.",
        "",
        "| what is dead | prompts at a time | seconds | promised |",
        "|:---|---:|---:|---:|",
        *(
            f"| {what} | {concurrency} | {seconds:.1f} | under {PROMISED_DEAD} |"
            for what, concurrency, seconds in dead_servers()
        ),
    ]


def of_batching() -> list[str]:
    found = batching()
    return [
        f"## Batches of a local model: {N} prompts of mixed lengths, {BATCH} at a time",
        "",
        "CPU seconds of `run_system` with a small Llama of random weights, in the release's order "
        "and sorted by length; the ratio is the median (range) of 5 pairs. Responses are equal.",
        "",
        "| order of the release, s | sorted, s | ratio | tokens with padding / without, order of "
        "the release | sorted |",
        "|---:|---:|---:|---:|---:|",
        f"| {found['unsorted']:.1f} | {found['sorted']:.1f} | {found['ratio']:.2f} "
        f"({found['lowest']:.2f} to {found['highest']:.2f}) | {found['padded_unsorted']:.2f} | "
        f"{found['padded_sorted']:.2f} |",
        "",
        "Prompts that all fill the context have equal lengths, and sorting then saves nothing.",
    ]


def of_release(rows: list[tuple[str, float]]) -> list[str]:
    return [
        "## A release of the published size",
        "",
        "| | |",
        "|---|---:|",
        *(f"| {what} | {value:,.0f} |" for what, value in rows),
    ]


SECTIONS = ("packing", "reading", "asking", "dead", "batching", "scoring", "release")
ABOUT = (
    f"Written by `make benchmark` on {os.cpu_count()} cores. Values are medians over turns within "
    "one run. A ratio says how many times longer the other way takes. `--only` of "
    "`benchmarks/speed.py` measures single sections again."
)


def measure(names: list[str], repeats: int) -> dict[str, list[str]]:
    """Return name -> lines of each section."""
    sections: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        if {"packing", "reading", "release"} & {*names}:
            release, full = full_size(Path(folder))
            files = full_size_ehrs(release)
            sections["release"] = of_release(full)
        if "packing" in names:
            sections["packing"] = of_packing(packing(files))
        if "reading" in names:
            sections["reading"] = of_reading(reading(files, repeats))
    others = {"asking": of_asking, "dead": of_dead_servers, "batching": of_batching}
    others["scoring"] = scoring
    for name, section in others.items():
        if name in names:
            sections[name] = section()
    load = f"Load average at the end of the measurements: {os.getloadavg()[0]:.1f}."
    return {name: [*sections[name], "", load] for name in names}


def report(sections: dict[str, list[str]], earlier: str = "") -> str:
    """Return RESULTS.md; sections that were not measured are those of an earlier one."""
    found = dict(re.findall(r"<!-- (\w+) -->\n(.*?)(?=\n<!-- |\Z)", earlier, flags=re.DOTALL))
    found |= {name: "\n".join(lines) for name, lines in sections.items()}
    parts = [f"<!-- {name} -->\n{found[name].strip()}\n" for name in SECTIONS if name in found]
    return "\n".join(["# Benchmarks", "", ABOUT, "", *parts])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="of reading; default %(default)s")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/RESULTS.md"))
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="measure only these sections")
    args = parser.parse_args()
    earlier = args.out.read_text("utf-8") if args.only and args.out.is_file() else ""
    text = report(measure(args.only or [*SECTIONS], args.repeats), earlier)
    args.out.write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main()
