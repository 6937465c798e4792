"""The same instruction on the same record with one demographic rewritten: does the answer change?

`rewrite_release` writes the records of a release anew, the coded header and the notes by the rules
of `rewriting`, codes as they are; `answer_pairs` has systems answer them and grades both answers by
the same answer key, where the release has one; `summarise` says how many answers and verdicts
change. `NOTHING` is the control: it goes the same way and rewrites nothing, so what changes is the
system's own doing.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from html import unescape
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from medalign_utils import paths
from medalign_utils.config import load_system
from medalign_utils.data.disclosure import suppress_small_groups
from medalign_utils.data.ehr.events import cleaned, read_opening
from medalign_utils.data.release import (
    INSTRUCTIONS_FILE,
    REFERENCES_FILE,
    Release,
    instructions_to_answer,
    load_release,
)
from medalign_utils.data.responses import read_responses
from medalign_utils.errors import EHRError, MedAlignError, ReleaseError
from medalign_utils.fairness.perturbation import (
    CHANGES,
    YEARS,
    Person,
    apply,
    days_older,
    replacements,
    rewrite,
    swapped,
    value_of,
)
from medalign_utils.generation.runner import run_system
from medalign_utils.grading import load_answer_key, rate_with_answer_key
from medalign_utils.stats.bootstrap import Bootstrap, bootstrap_means

NOTHING = "nothing"  # the control
MARK = "relevant_demographics"  # in the answer key: those on which the right answer rests
# Change -> what the answer key calls it.
_MARKED_AS = {"gender": "sex", "age": "age"}
# Columns of the table of replacements, a row each.
REPLACEMENT_COLUMNS = (
    "person_id", "place", "encounter", "event", "item", "offset", "before", "after",
)  # fmt: skip
MEASURES = ("changed", "changed_beyond", "flipped", "lost", "gained", "net")
_HEADER = ("birthdate", "days", "years", "gender", "race", "ethnicity")
_TOKEN = re.compile(
    r"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>|<(?:[^<>\"']|\"[^\"]*\"|'[^']*')*>|[^<]+", re.DOTALL
)
_ATTRIBUTE = re.compile(r"\s(type|note_id)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")


class Rewritten(NamedTuple):
    """A release in which one demographic is rewritten.

    Attributes:
        release: the instructions, with a reference, of the patients whom the change can be made of.
        replacements: one row each: person_id; place ("header", "note" or "instruction");
            encounter and event, from 0, where it has them (events of headers do not count); item
            (the header's element, the note_id or the instruction_id); offset, in characters of the
            event's source_text or the question; before; after.
        people: of every patient in `release`, what the record's header said before.
        n_left_out: instructions of the others, whose header says nothing that the change knows.
    """

    release: Release
    replacements: pd.DataFrame
    people: dict[str, Person]
    n_left_out: int


def person_of(text: str) -> Person:
    """What an EHR's headers say of the person; None where they differ from each other, or are mute.

    Args:
        text: of an EHR file in the eventstream dialect.

    >>> person_of("<eventstream><encounter><person><demographics><gender>MALE</gender>"
    ...     "</demographics></person></encounter></eventstream>")
    Person(gender='MALE', race=None, ethnicity=None, birthdate=None)
    """
    found: dict[str, set[str]] = {}
    for token in _tokens(text):
        if token.place == "header" and cleaned(token.text) is not None:
            found.setdefault(token.item, set()).add(unescape(token.text).strip())
    alike = {name: values.pop() for name, values in found.items() if len(values) == 1}
    return Person(**{name: alike.get(name) for name in Person._fields})


def rewrite_ehr(text: str, change: str, person: Person) -> tuple[str, list[tuple]]:
    """Rewrite one EHR: its headers and its notes; all else keeps its bytes.

    Args:
        text: of an EHR file in the eventstream dialect.
        change: one of `rewriting.CHANGES`, or `NOTHING`.
        person: as `person_of` gives it.

    Returns:
        The new text, and the replacements: `REPLACEMENT_COLUMNS` without person_id.

    >>> ehr = ("<eventstream><encounter><person><gender>MALE</gender></person><events><entry>"
    ...     "<event type='note' note_id='9'>He is 63.</event></entry></events></encounter>"
    ...     "</eventstream>")
    >>> _, found = rewrite_ehr(ehr, "gender", person_of(ehr))
    >>> found[0][:1] + found[0][3:], found[1][:1] + found[1][3:]
    (('header', 'gender', 0, 'MALE', 'FEMALE'), ('note', '9', 0, 'He', 'She'))
    """
    parts, rows = [], []
    for token in _tokens(text):
        new = token.text
        where = (token.place, token.encounter, token.event, token.item)
        if change == NOTHING:
            pass
        elif token.place == "header":
            after = _header(token, change, person)
            if after is not None:
                before = token.text.strip()
                new = token.text.replace(before, after)
                rows.append((*where, token.text.index(before), before, after))
        elif token.place == "note":
            found = replacements(token.text, change, person)
            new = apply(token.text, found)
            for offset, before, after in found:
                read = token.offset + len(unescape(token.text[:offset]))
                rows.append((*where, read, before, after))
        parts.append(new)
    return "".join(parts), rows


def rewrite_release(release: Release, change: str, folder: Path) -> Rewritten:
    """Write a release's records, and the instructions that have a reference, with one rewriting.

    Files go to ``folder/release``, anew, and the table of replacements to
    ``folder/replacements.csv``. It holds words of the notes: what is made of a restricted release
    is readable by its owner only. What is made of a synthetic one bears a manifest that says so.

    Args:
        release: as `dataset.load_release` gives it.
        change: one of `rewriting.CHANGES`, or `NOTHING`.
        folder: of this change, made if need be.

    Returns:
        See :class:`Rewritten`. The clinicians' references are as they were; they only tell which
        instructions are answered.

    Raises:
        MedAlignError: the change is unknown, or can be made of no patient.
        EHRError: an EHR is absent, no UTF-8, or in the record dialect.
    """
    if change not in (NOTHING, *CHANGES):
        known = ", ".join((NOTHING, *CHANGES))
        raise MedAlignError(f"rewrite_release: change {change!r}, expected one of {known}")
    private = release.is_restricted
    asked = instructions_to_answer(release)
    people, rows, files = {}, [], {}
    target = folder / "release"
    shutil.rmtree(target, ignore_errors=True)
    for path in (folder, target, target / "ehrs"):
        path.mkdir(parents=True, exist_ok=True)
        if private:
            path.chmod(0o700)
    for person_id in asked["person_id"].unique():
        text = _read(release.ehr_path(person_id))
        person = person_of(text)
        if change != NOTHING and swapped(value_of(person, change), change) is None:
            continue
        people[person_id] = person
        new, found = rewrite_ehr(text, change, person)
        rows += [(person_id, *row) for row in found]
        files[f"ehrs/{person_id}.xml"] = new
    kept = asked[asked["person_id"].isin(people)]
    if kept.empty:
        raise MedAlignError(f"rewrite_release: no record says a {change} that can be rewritten")
    kept, found = _rewrite_questions(kept, change, people)
    files |= _tables(kept, release)
    digests = {name: _write(target / name, text, private) for name, text in files.items()}
    if not private:  # made of nothing but what is proven synthetic
        manifest = {"synthetic": True, "rewritten": change, "files": digests}
        _write(target / "manifest.json", json.dumps(manifest, indent=1) + "\n", private)
    table = pd.DataFrame([*rows, *found], columns=list(REPLACEMENT_COLUMNS))
    table = table.astype({"encounter": "Int64", "event": "Int64", "offset": "int64"})
    _write(folder / "replacements.csv", table.to_csv(index=False, lineterminator="\n"), private)
    return Rewritten(load_release(target), table, people, len(asked) - len(kept))


def count_replacements(made: Mapping[str, Rewritten]) -> pd.DataFrame:
    """How often each word was rewritten into which.

    Args:
        made: change -> as `rewrite_release` gives it.

    Returns:
        change, place, before, after (in small letters, digits as "#": ages and dates are not told),
        n, n_patients; the most frequent of each change first. Without replacements it has no rows.
    """
    tables = [one.replacements.assign(change=change) for change, one in made.items()]
    every = pd.concat(tables, ignore_index=True)
    for column in ("before", "after"):
        every[column] = every[column].astype("str").str.lower().str.replace(r"\d", "#", regex=True)
    by = ["change", "place", "before", "after"]
    counts = every.groupby(by, sort=False)["person_id"].agg(n="size", n_patients="nunique")
    order = {change: i for i, change in enumerate(made)}
    return counts.reset_index().sort_values(
        ["change", "n"], key=lambda c: c.map(order) if c.name == "change" else -c, kind="stable",
        ignore_index=True,
    )  # fmt: skip


def answer_pairs(
    release: Release,
    experiment: str,
    made: Mapping[str, Rewritten],
    systems: Sequence[str],
    *,
    progress: bool = True,
) -> pd.DataFrame:
    """Have systems answer the rewritten records, and set each answer beside the original one.

    The original ones are the experiment's responses; the others are kept like those, under
    ``runs/<experiment>/counterfactuals/<change>/responses``, and are not asked for again.

    Args:
        release: the original one; without an answer key no answer is graded.
        experiment: whose responses are the original ones.
        made: change -> as `rewrite_release` gives it.
        systems: their names.
        progress: as for `running.run_system`.

    Returns:
        One row a change, system and instruction, with person_id. `relevant`: the answer key marks
        that the right answer rests on what is rewritten; False without a key. `changed`: the texts
        differ. `changed_beyond`: the original, rewritten by the same rules, differs still; of two
        answers that were cut at their greatest length, as far as both go. `before` and `after`:
        whether each is correct; NaN without a key.

    Raises:
        ReleaseError: the answer key says of an instruction nothing of `MARK`.
        MedAlignError: as `running.run_system`.
    """
    key = _load_key(release) if release.answer_key_path is not None else None
    tables = []
    for change, one in made.items():
        for system in systems:
            original = read_responses(paths.responses(experiment, system))
            file = paths.counterfactual(experiment, change) / "responses" / f"{system}.jsonl"
            answered = run_system(one.release, load_system(system), file, progress=progress)
            table = _beside(original, answered, change, one, key)
            tables.append(table.assign(change=change, system=system))
    columns = ["change", "system", "instruction_id", "person_id", "relevant"]
    columns += ["changed", "changed_beyond", "before", "after"]
    return pd.concat(tables, ignore_index=True)[columns]


def _load_key(release: Release) -> dict[str, dict]:
    key = load_answer_key(release.answer_key_path)
    if lacking := [i for i in release.references["instruction_id"] if MARK not in key.get(i, {})]:
        raise ReleaseError(
            f"{release.answer_key_path}: {MARK} missing for instruction {lacking[0]} "
            f"({len(lacking)} lack it), expected a list of sex, age, or neither; a synthetic "
            "release of an earlier version is to be written anew"
        )
    return key


def summarise(
    pairs: pd.DataFrame,
    n_left_out: Mapping[str, int],
    *,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """The share of answers and of verdicts that change, by change, system and relevance.

    Args:
        pairs: as `answer_pairs` gives it.
        n_left_out: change -> instructions of patients whom it could not be made of.
        bootstrap: over patients.

    Returns:
        One row a change, system and `relevant` (whether the right answer rests on what is
        rewritten): n and n_patients; n_left_out; and with ``_low`` and ``_high``, 95 % by bootstrap
        over patients, each of `MEASURES`: the share `changed`, and `changed_beyond` the rewritten
        words; `flipped`, the share of verdicts that differ, parted into `lost` (correct before
        only) and `gained` (after only), whose difference is `net`; NaN where none is graded.
        Bounds are NaN for one patient.

    >>> pairs = pd.DataFrame({"change": "gender", "system": "a", "relevant": False,
    ...     "person_id": ["1", "1"], "changed": [True, False], "changed_beyond": False,
    ...     "before": [True, True], "after": [False, True]})
    >>> table = summarise(pairs, {"gender": 0}, bootstrap=Bootstrap.seeded(9, 1))
    >>> table[["n", "changed", "lost", "gained", "net", "net_low"]].values.tolist()
    [[2.0, 0.5, 0.5, 0.0, -0.5, nan]]
    """
    before, after = (pairs[column].to_numpy(dtype=float) for column in ("before", "after"))
    measured = pairs.assign(
        flipped=np.abs(after - before),
        lost=np.maximum(before - after, 0),
        gained=np.maximum(after - before, 0),
        net=after - before,
    )
    rows = []
    for (change, system, relevant), group in measured.groupby(
        ["change", "system", "relevant"], sort=False
    ):
        values = group[list(MEASURES)].to_numpy(dtype=float)
        found = bootstrap_means(values, group["person_id"], bootstrap=bootstrap)
        row = {"change": change, "system": system, "relevant": relevant, "n": len(group)}
        row |= {"n_patients": group["person_id"].nunique(), "n_left_out": n_left_out[change]}
        for measure, (estimate, low, high) in zip(MEASURES, found, strict=True):
            row |= {measure: estimate, f"{measure}_low": low, f"{measure}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def suppress_small(table: pd.DataFrame, pairs: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
    """Withhold what would tell of 1 to 10 patients of a restricted release.

    The instructions of each change fall into relevant ones, others, and those left out of it. Of
    these groups the small ones have no figures, nor those from which theirs would follow, as
    `suppress_small_groups` has it.

    Args:
        table: as `summarise` returns it.
        pairs: what it was made from.
        asked: instruction_id and person_id of all instructions answered on the original records.

    Returns:
        The same rows, with NA in every figure of a suppressed group, and in `n_left_out` where
        those left out are one; `suppressed` says so, else "".
    """
    members, named = [], [table.assign(grouping=table["change"], group=table["relevant"].map(str))]
    for change, own in pairs.groupby("change", sort=False):
        own = own.drop_duplicates("instruction_id")
        left_out = asked[~asked["instruction_id"].isin(own["instruction_id"])]
        for ids, group in ((own, own["relevant"].map(str)), (left_out, "left out")):
            members.append(ids[["instruction_id"]].assign(grouping=change, group=group))
        if len(left_out):
            named.append(pd.DataFrame({"grouping": [change], "group": "left out", "system": ""}))
    every = pd.concat(named, ignore_index=True)
    kept = every[["change", "relevant"]]
    shown = suppress_small_groups(
        every.drop(columns=[*kept]), pd.concat(members, ignore_index=True), asked
    )
    of_left_out = shown["group"] == "left out"
    hidden = shown.loc[of_left_out & (shown["suppressed"] != ""), "grouping"]
    shown["n_left_out"] = shown["n_left_out"].mask(shown["grouping"].isin(hidden)).astype("Int64")
    shown[[*kept]] = kept
    return shown.loc[~of_left_out, [*table, "suppressed"]].astype({"relevant": bool})


class _Token(NamedTuple):
    """A piece of an EHR file; `place` is "" but for what a header or a note says."""

    text: str
    place: str
    encounter: int | None = None
    event: int | None = None
    item: str = ""
    offset: int = 0  # in the note's source_text


def _tokens(text: str) -> Iterator[_Token]:
    """Part a well-formed file into pieces that make it up."""
    encounter, event, n, offset = -1, None, -1, 0
    item, in_person = "", False
    for found in _TOKEN.finditer(text):
        piece = found[0]
        if piece.startswith("<") and not piece.startswith("<![CDATA["):
            yield _Token(piece, "")
            name = re.match(r"</?([\w.:-]*)", piece)[1]
            is_start, is_empty = not piece.startswith("</"), piece.endswith("/>")
            encounter += name == "encounter" and is_start
            if name == "person":
                in_person = is_start and not is_empty
            elif in_person:
                item = name if is_start and not is_empty else ""
            elif name == "event":
                n += is_start
                said = {key: a or b for key, a, b in _ATTRIBUTE.findall(piece)}
                is_note = is_start and not is_empty and said.get("type") == "note"
                event, item, offset = n if is_note else None, said.get("note_id", ""), 0
        elif in_person:
            is_said = item in _HEADER and piece.strip()
            yield _Token(piece, "header" if is_said else "", encounter, None, item)
        elif event is not None:
            # What stands in a CDATA section is left as it is: its text has other escapes.
            is_text = not piece.startswith("<")
            yield _Token(piece, "note" if is_text else "", encounter, event, item, offset)
            offset += len(unescape(piece)) if is_text else len(piece) - len("<![CDATA[]]>")
        else:
            yield _Token(piece, "")


def _header(token: _Token, change: str, person: Person) -> str | None:
    """What a header's element says after the change, None where it says the same."""
    if change != "age":
        return swapped(token.text, change) if token.item == change else None
    if token.item == "birthdate":
        return swapped(token.text, change)
    if token.item in ("days", "years") and token.text.strip().isdecimal():
        more = YEARS if token.item == "years" else days_older(person.birthdate)
        return str(int(token.text) + more)
    return None


def _read(path: Path) -> str:
    opening = read_opening(path, ("eventstream", "record"))
    if opening.dialect != "eventstream":
        raise EHRError(f"{path}: in the record dialect; only eventstream can be rewritten")
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise EHRError(f"{path}: not UTF-8 ({error}); convert it to have it rewritten") from None


def _rewrite_questions(
    asked: pd.DataFrame, change: str, people: Mapping[str, Person]
) -> tuple[pd.DataFrame, list[tuple]]:
    questions, rows = [], []
    for row in asked.itertuples():
        found = []
        if change != NOTHING:
            found = replacements(row.question, change, people[row.person_id])
        questions.append(apply(row.question, found))
        place = (row.person_id, "instruction", None, None, row.instruction_id)
        rows += [(*place, *each) for each in found]
    return asked.assign(question=questions), rows


def _tables(asked: pd.DataFrame, release: Release) -> dict[str, str]:
    """The release's two tables, of these instructions."""
    ids = asked["instruction_id"]
    # As the original has them, for that order decides on the order of the answers.
    order = release.instructions.loc[release.instructions["instruction_id"].isin(ids)].index
    references = release.references[release.references["instruction_id"].isin(ids)]
    references = references.merge(asked[["instruction_id", "question", "person_id"]])
    references = references.rename(
        columns={"annotator": "annotator_num", "reference": "clinician_response"}
    )
    return {
        f"{name}.tsv": table.to_csv(sep="\t", index=False, lineterminator="\n")
        for name, table in (
            (INSTRUCTIONS_FILE, asked.loc[order]),
            (REFERENCES_FILE, references),
        )
    }


def _write(path: Path, text: str, private: bool) -> str:
    """Write a file and give its digest."""
    path.unlink(missing_ok=True)  # or it would keep its mode
    content = text.encode()
    with open(path, "wb", opener=paths.opener(private)) as file:
        file.write(content)
    return hashlib.sha256(content).hexdigest()


def _beside(
    original: pd.DataFrame,
    answered: pd.DataFrame,
    change: str,
    one: Rewritten,
    key: Mapping[str, Mapping] | None,
) -> pd.DataFrame:
    """A system's two answers to the same instructions, with their verdicts."""
    columns = ["instruction_id", "response", "finish_reason"]
    both = original[columns].merge(
        answered[columns], on="instruction_id", suffixes=("_before", "_after"), validate="1:1"
    )
    if len(both) != len(answered):
        raise MedAlignError(
            f"answer_pairs: {len(answered) - len(both)} of {len(answered)} instructions have no "
            f"original response of {answered['system'].iloc[0]}"
        )
    both = both.merge(one.release.instructions[["instruction_id", "person_id"]])
    both = both.assign(relevant=False, before=np.nan, after=np.nan)
    if key is not None:
        for when, table in (("before", original), ("after", answered)):
            kept = table[table["instruction_id"].isin(both["instruction_id"])]
            ratings = rate_with_answer_key(kept, key).set_index("instruction_id")
            both[when] = both["instruction_id"].map(ratings["correct"])
        mark = _MARKED_AS.get(change)
        both["relevant"] = [mark in key[i][MARK] for i in both["instruction_id"]]
    both["changed"] = both["response_before"] != both["response_after"]
    both["changed_beyond"] = [
        _differ(row, change, one.people[row.person_id]) for row in both.itertuples()
    ]
    return both


def _differ(row: tuple, change: str, person: Person) -> bool:
    """Whether an answer differs from the original one as rewritten."""
    before, after = row.response_before, row.response_after
    if change != NOTHING:
        before = rewrite(before, change, person)
    if row.finish_reason_before == row.finish_reason_after == "length":
        # Where an answer is cut depends on how many tokens the rewritten words take.
        return not (before.startswith(after) or after.startswith(before))
    return before != after
