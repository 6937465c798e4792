"""Whether a system's prompt contained the place of the answer."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

from medalign_utils.data.ehr import ehr_text
from medalign_utils.data.ehr.dates import timestamp_of
from medalign_utils.errors import MedAlignError
from medalign_utils.generation.system import strategy_options, system_tokenizer
from medalign_utils.prompts.context import pack_prompt
from medalign_utils.prompts.retrieval import split_blocks
from medalign_utils.run import Run

# Why it is not known whether a prompt contained the answer's place.
NO_PLACE = "the place of the answer is not known"
NOWHERE = "the record has no answer"
NO_PROMPT = "the release does not contain the prompts"
SERVER_CUT = "the server read a part of the prompt only"
RETRIEVED = "the system retrieves passages"
REBUILT = "the prompt cannot be rebuilt"
CUT_THROUGH = "the record is cut at the answer's place"

# An entry or a day of the markup.
_ENTRY = re.compile(r'<(?:entry|day)\s[^>]*?\b(?:timestamp|start)="([^"]+)"')


class _Exposure(NamedTuple):
    shown: bool | None
    unknown: str = ""


def find_exposures(
    run: Run, places: pd.DataFrame, settings: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """Return whether each response's prompt contained the place of the answer.

    `places` comes from `answer_places`; `settings` has the keys of each system's YAML. A prompt
    that does not contain the whole record is rebuilt, and must have the hash that is stored with
    the response.

    Returns: instruction_id, system, shown (boolean, missing if unknown), unknown (why, or "").
    """
    time_of = places.set_index("instruction_id")["timestamp"]
    nowhere = set(places.loc[places["where"] == "nowhere", "instruction_id"])
    tables = []
    for system in run.systems:
        responses = run.responses(system)
        cut_times = {}
        if run.source == "generated":
            cut_times = dict(_cut_times(run, responses, settings[system]))
        found = [
            _Exposure(None, NOWHERE)
            if i in nowhere
            else _exposure(cut_times.get(i, NO_PROMPT), time_of.get(i))
            for i in responses["instruction_id"]
        ]
        table = responses[["instruction_id", "system"]].reset_index(drop=True)
        tables.append(table.join(pd.DataFrame(found, columns=_Exposure._fields)))
    return pd.concat(tables, ignore_index=True).astype({"shown": "boolean", "unknown": "str"})


def cut_time(left_out: str, format: str) -> pd.Timestamp | None:
    r"""Return the time of the last event that begins in the part of a record that was cut off.

    The format is as in `ehr_text`. None if no event begins there.

    >>> cut_time("2014-08-10 09:12 note N/1 Visit:\nWell.\n2014-08-11 10:00 note N/1", "lines")
    Timestamp('2014-08-11 10:00:00')
    >>> cut_time('<entry timestamp="2014-08-10 09:12"><event', "markup")
    Timestamp('2014-08-10 09:12:00')
    """
    if format == "lines":
        heads = [line for line, _ in split_blocks(left_out) if line]
        return pd.Timestamp(heads[-1][:16]) if heads else None
    starts = _ENTRY.findall(left_out)
    return pd.Timestamp(timestamp_of(starts[-1], american=True)) if starts else None


def _exposure(cut: pd.Timestamp | str | None, time: pd.Timestamp | None) -> _Exposure:
    if isinstance(cut, str):
        return _Exposure(None, cut)
    if pd.isna(time):
        return _Exposure(None, NO_PLACE)
    # Lines give times to the minute.
    if cut is not None and cut.floor("min") == time.floor("min"):
        return _Exposure(None, CUT_THROUGH)
    return _Exposure(cut is None or time > cut)


def _cut_times(
    run: Run, responses: pd.DataFrame, system: Mapping[str, Any]
) -> Iterator[tuple[str, pd.Timestamp | str | None]]:
    """Yield instruction_id, and `cut_time` or the reason why it is not known."""
    instructions = run.release.instructions.set_index("instruction_id")
    strategy = system.get("strategy", "truncate")
    whole = responses["ehr_tokens_kept"] >= responses["ehr_tokens_total"]
    whole |= strategy == "refine"
    was_cut = responses["prompt_tokens_read"].notna()
    for i in responses["instruction_id"][was_cut]:
        yield i, SERVER_CUT
    for i in responses["instruction_id"][whole & ~was_cut]:
        yield i, None
    rest = responses[~whole & ~was_cut]
    if strategy != "truncate":
        yield from ((i, RETRIEVED) for i in rest["instruction_id"])
        return
    try:
        tokenizer = system_tokenizer(system) if len(rest) else None
    except MedAlignError:  # such as one that was not downloaded on this machine
        yield from ((i, REBUILT) for i in rest["instruction_id"])
        return
    how = tokenizer, system["context_length"]
    patients = instructions.loc[rest["instruction_id"], "person_id"].to_numpy()
    for person_id, own in rest.groupby(patients, sort=False):
        text = ehr_text(run.release.ehr_path(person_id), system["format"])
        for i, digest in zip(own["instruction_id"], own["prompt_sha256"], strict=True):
            question = instructions.loc[i, "question"]
            prompt = pack_prompt(question, text, *how, **strategy_options(system)).prompt
            if hashlib.sha256(prompt.text.encode()).hexdigest() != digest:
                yield i, REBUILT
            else:
                yield i, cut_time(text[: len(text) - len(prompt.ehr)], system["format"])
