"""The report of a run: one page with what it found, what it was made with, and what is missing.

The page is read from the run's files, and from the project as it is when the page is written: the
systems' files, the versions, the git commit. The same of both gives the same bytes.
"""

import json
import struct
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from medalign_utils import paths
from medalign_utils.config import notebooks
from medalign_utils.data.disclosure import unknown_text
from medalign_utils.data.release import Release, load_release
from medalign_utils.reporting import provenance
from medalign_utils.reporting.display import Column, columns_to_show, read_aggregates
from medalign_utils.reporting.provenance import Gap

# A table's or figure's stem -> its caption, in the order of the page.
TABLES = {
    "02_match_instructions": "Records that BM25 ranks for an instruction: how often its own "
    "patient is among the first k, beside random pairing.",
    "02_match_instructions-dedup": "Near-duplicate instructions that a ROUGE-L threshold drops.",
    "05_evaluate_systems": "Systems by mean rank. The win rate leaves ties out; Wilson's interval "
    "takes instructions as independent, the others are bootstrapped over patients.",
    "05_evaluate_systems-pairs": "Each pair of systems: paired difference in accuracy, the "
    "instructions that one alone has right, McNemar's exact test and the sign flip of all of a "
    "patient's differences together, adjusted over the pairs by Holm's method, and who ranks "
    "higher.",
    "05_evaluate_systems-contexts": "One system at several context lengths: the paired difference "
    "in accuracy to the longest.",
    "05_evaluate_systems-groups": "Systems by group of instructions. Nothing is adjusted for the "
    "number of groups, and small ones are shown as they are.",
    "06_correlate_metrics": "Kendall's tau-b between a metric's scores and the ratings, per "
    "instruction, averaged; where all scores or all ranks are equal it is undefined.",
    "06_correlate_metrics-systems": "Correlation, over the systems, of a metric's mean scores with "
    "the ratings' means, by coefficient.",
    "06_correlate_metrics-pairs": "Each pair of metrics: the difference of their mean taus on the "
    "same instructions, adjusted over the pairs by Holm's method.",
    "06_correlate_metrics-raters": "How far raters agree, where several rated the same responses.",
    "07_audit_fairness": "Each group against all other patients, by system and measure. p is by "
    "dealing the groups out anew among the patients, and adjusted by Holm's method over all tests "
    "of one system on one measure.",
    "07_audit_fairness-ranges": "The best group of a grouping against the worst. The test allows "
    "for their having been picked, the interval does not.",
    "07_audit_fairness-adjusted": "The gap that is left at the same category of instruction and "
    "the same length of record.",
    "07_audit_fairness-agreement": "Each metric's agreement with the ratings, by group.",
    "07_audit_fairness-data": "Who is in the release, and how long the records are.",
    "07_audit_fairness-categories": "Instructions by category and group.",
    "07_audit_fairness-simulation": "How often the audit raises a false alarm, and how often it "
    "finds a true gap, on simulated releases.",
    "08_reproduce_paper": "The paper's tables beside this run's, and whether they may be compared.",
    "08_reproduce_paper-categories": "Instructions by category, the paper beside this run. Whether "
    "the two compare is said in the first table.",
    "08_reproduce_paper-human_evaluation": "Human evaluation, the paper beside this run. Whether "
    "the two compare is said in the first table.",
    "08_reproduce_paper-metric_correlation": "Correlation of the metrics with the ratings, the "
    "paper beside this run. Whether the two compare is said in the first table.",
    "08_reproduce_paper-facts": "Sizes and protocol, the paper beside this run. Whether the two "
    "compare is said in the first table.",
    "09_audit_counterfactuals": "Responses and verdicts that change when one demographic of the "
    "record is rewritten; relevant: the right answer rests on it. Left out are instructions of "
    "patients of whom it cannot be rewritten.",
}
FIGURES = {
    "01_explore_release-categories": "Instructions by category.",
    "01_explore_release-specialties": "Instructions by the submitter's specialty.",
    "01_explore_release-ehr_lengths": "Lengths of the records, in tokens.",
    "01_explore_release-event_years": "Events by calendar year.",
    "01_explore_release-note_types": "Notes by type.",
    "02_match_instructions-recall": "Share of instructions whose patient is among the first k.",
    "02_match_instructions-dedup": "What each threshold drops.",
    "05_evaluate_systems-accuracy": "Share of correct responses.",
    "05_evaluate_systems-pairs": "Paired differences in accuracy.",
    "05_evaluate_systems-groups": "Accuracy by group.",
    "05_evaluate_systems-head_to_head": "Win rate of each system against each other one.",
    "05_evaluate_systems-contexts": "Accuracy against context length.",
    "06_correlate_metrics-tau": "Agreement of each metric with the ratings.",
    "06_correlate_metrics-pairs": "Differences of the metrics' mean taus, by pair.",
    "07_audit_fairness-systems": "Gap in accuracy of each group to all other patients, by system.",
    "07_audit_fairness-gaps": "Gaps in accuracy of the best system, as they are and adjusted.",
    "07_audit_fairness-agreement": "Gap in each metric's agreement with the ratings.",
    "07_audit_fairness-lengths": "Length of the records by group.",
    "07_audit_fairness-power": "How often the audit finds a gap, by the group's size.",
    "08_reproduce_paper-human_evaluation": "Human evaluation, the paper beside this run.",
    "08_reproduce_paper-head_to_head": "Win rates of pairs, a table that has the paper's marginals "
    "beside this run.",
    "08_reproduce_paper-metric_correlation": "Correlation of metrics, the paper beside this run.",
    "09_audit_counterfactuals-changes": "What changes when one demographic is rewritten.",
}
# The table that says of each of the paper's whether a run's compares with it, and why not.
_PAPER = "08_reproduce_paper"
# A longer table is folded away on a screen; on paper it is not.
LONG = 15
_DPI = 300  # of `plots.save`


class Picture(NamedTuple):
    """A figure, ready for the page: its caption, its PNG as a data URI, its width in inches."""

    caption: str
    uri: str
    width: float


class Block(NamedTuple):
    """A table with the figures beside it; a block without a table has neither caption nor rows."""

    stem: str
    caption: str
    columns: list[Column]
    rows: list[tuple[str, ...]]
    pictures: list[Picture]


class Section(NamedTuple):
    """What one notebook found: the notebook's heading and first paragraph, and its blocks."""

    number: str
    heading: str
    lead: str
    blocks: list[Block]


def write_report(experiment: Mapping[str, Any]) -> Path:
    """Write `runs/<experiment>/report.html` from what the run has, and name what it lacks.

    Args:
        experiment: as `params.load_experiment` gives it.

    Returns:
        The page's path. The page needs no other file. That of a restricted release is readable by
        its owner only.

    Raises:
        MedAlignError: a table holds rows of patients, instructions or responses; the release cannot
            be loaded.
    """
    name = experiment["experiment"]
    release = load_release(paths.resolve(experiment["release"]), columns=experiment["columns"])
    restricted = release.is_restricted
    # Of a restricted release nothing is shown that is not known.
    withheld = _unknown(name) if restricted else []
    tables = read_tables(name, without=withheld)
    figures = {f.stem: f for f in paths.figure(name, "").parent.glob("*.png") if f not in withheld}
    signatures = provenance.signatures(experiment)
    gaps = [
        *provenance.missing_systems(experiment, restricted=restricted),
        *provenance.missing_metrics(experiment),
        *provenance.unused_ratings(experiment, release, restricted=restricted),
        *provenance.suppressed_groups(tables),
        *_missing_tables(experiment, release, tables, restricted=restricted),
        *(withhold_text(tables) if restricted else ()),
        *(
            Gap(
                f"{file.parent.name}/{file.name}",
                "not known to hold aggregates alone, of a restricted release",
            )
            for file in withheld
        ),
    ]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    page = environment.get_template("report.html").render(
        name=name,
        about=_about(experiment, release, tables, restricted=restricted),
        gaps=gaps,
        sections=_sections(tables, figures),
        experiment=provenance.settings(experiment),
        systems=provenance.system_settings(experiment),
        signatures=signatures.to_dict("records"),
        versions=provenance.versions(),
        commit=provenance.commit(),
        digests=provenance.digests(experiment, release),
        long=LONG,
    )
    out = paths.report(name)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.unlink(missing_ok=True)  # or it would keep its mode
    with open(out, "w", encoding="utf-8", newline="\n", opener=paths.opener(restricted)) as file:
        file.write(page)
    return out


def read_tables(experiment: str, *, without: Sequence[Path] = ()) -> dict[str, pd.DataFrame]:
    """The run's tables of aggregates by stem, in the order of the page.

    Raises: MedAlignError as `display.read_aggregates`.
    """
    files = sorted(paths.table(experiment, "").parent.glob("*.csv"), key=lambda f: _place(f.stem))
    files = [file for file in files if file not in without]
    return {file.stem: read_aggregates(file) for file in files}


def captions(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Each table's caption; of the paper's tables what notebook 08 says of how they compare.

    >>> summary = pd.DataFrame({"table": ["facts"], "title": ["Sizes. Comparable."]})
    >>> captions({"08_reproduce_paper": summary})["08_reproduce_paper-facts"]
    'Sizes. Comparable.'
    """
    summary = tables.get(_PAPER, pd.DataFrame(columns=["table", "title"]))
    names = summary["table"].str.removeprefix("table_")
    return TABLES | {
        f"{_PAPER}-{name}": title for name, title in zip(names, summary["title"], strict=True)
    }


def withhold_text(tables: dict[str, pd.DataFrame]) -> list[Gap]:
    """Take from the tables the columns of text that are not known to hold no patient's; say so."""
    gaps = []
    for stem, table in tables.items():
        if unknown := unknown_text(table):
            tables[stem] = table.drop(columns=unknown)
            why = "text that is not known to be no patient's, of a restricted release"
            gaps.append(Gap(f"{stem}: column {', '.join(unknown)}", why))
    return gaps


def _unknown(experiment: str) -> list[Path]:
    """The run's tables and figures without a caption here: what they show is not known."""
    tables = paths.table(experiment, "").parent.glob("*.csv")
    figures = paths.figure(experiment, "").parent.glob("*.png")
    return [
        *(file for file in sorted(tables) if file.stem not in TABLES),
        *(file for file in sorted(figures) if file.stem not in FIGURES),
    ]


def _about(
    experiment: Mapping[str, Any],
    release: Release,
    tables: Mapping[str, pd.DataFrame],
    *,
    restricted: bool,
) -> list[str]:
    """What the run is, who rated, and what of it compares with the paper, a sentence each."""
    of = f"{len(release.instructions):,} instructions, {len(release.references):,} references"
    if not restricted:
        about = [
            f"A run on a synthetic release ({of}): patients, records, instructions and references "
            "were written by a program, and nothing in them is MedAlign's."
        ]
    else:
        about = [f"A run on a release whose terms of use restrict it ({of}); aggregates only."]
    if experiment["responses"] == "released":
        about.append("The responses and the clinicians' ratings of them are the release's.")
    elif _is_rated(experiment, release):
        about.append(
            "This run's responses were rated by the release's answer key, a program, not by "
            "clinicians."
        )
    else:
        about.append("This run's responses were scored and not rated: there is no answer key.")
    if restricted and experiment["responses"] == "released":
        about.append(_compared(tables))
    else:
        about.append(
            "No accuracy, rank or correlation here may be read as a repetition of the paper's: "
            "the paper's are clinicians' ratings of responses to MedAlign's own instructions."
        )
    return about


def _compared(tables: Mapping[str, pd.DataFrame]) -> str:
    """What of a run on the paper's own responses compares with the paper, as notebook 08 says."""
    if _PAPER not in tables:
        return "Whether anything here compares with the paper has not been worked out."
    said = tables[_PAPER].groupby("comparable", sort=False)["table"].agg(list)
    verdicts = "; ".join(f"{verdict} for {', '.join(names)}" for verdict, names in said.items())
    verdicts = verdicts.replace("table_", "").replace("_", " ")
    return f"Comparable with the paper: {verdicts}. The reasons stand by each table."


def _is_rated(experiment: Mapping[str, Any], release: Release) -> bool:
    return experiment["responses"] == "released" or release.answer_key_path is not None


def _is_audited(experiment: Mapping[str, Any]) -> bool:
    return experiment["responses"] != "released" and bool(experiment["counterfactual_systems"])


def _missing_tables(
    experiment: Mapping[str, Any],
    release: Release,
    tables: Mapping[str, pd.DataFrame],
    *,
    restricted: bool,
) -> Iterator[Gap]:
    rated = _is_rated(experiment, release)
    lacking: dict[str, list[str]] = {}
    there = [notebook.stem for notebook in notebooks()]
    for stem in TABLES:
        if stem not in tables and stem.partition("-")[0] in there:
            lacking.setdefault(stem.partition("-")[0], []).append(stem)
    for notebook, stems in lacking.items():
        needs_ratings = "05" <= notebook < "09"
        if notebook == "09_audit_counterfactuals" and not _is_audited(experiment):
            yield Gap(f"table {', '.join(stems)}", "no system answers rewritten records")
            continue
        if needs_ratings and not rated:
            why = "the responses are not rated"
        else:
            why = provenance.failure(experiment["experiment"], notebook, restricted=restricted)
        yield Gap(f"table {', '.join(stems)}", why, is_failure=rated or not needs_ratings)


def _sections(tables: Mapping[str, pd.DataFrame], files: Mapping[str, Path]) -> list[Section]:
    """The tables and figures by notebook: each table with the figures of its stem."""
    caption_of = captions(tables)
    stems = sorted({*tables, *files}, key=_place)
    headings = {notebook.stem: _opening(notebook) for notebook in notebooks()}
    sections = []
    for notebook in dict.fromkeys(stem.partition("-")[0] for stem in stems):
        own = [stem for stem in stems if stem.partition("-")[0] == notebook]
        blocks = [
            _block(stem, tables[stem], caption_of.get(stem, "")) for stem in own if stem in tables
        ]
        number, heading, lead = headings.get(notebook, ("", notebook, ""))
        # A figure of no table's stem stands beside the notebook's first table.
        first = blocks[0] if blocks else Block(notebook, "", [], [], [])
        for stem in own:
            if stem in files:
                beside = next((block for block in blocks if block.stem == stem), first)
                beside.pictures.append(_picture(files[stem]))
        sections.append(Section(number, heading, lead, blocks or [first]))
    return sections


def _block(stem: str, table: pd.DataFrame, caption: str) -> Block:
    # A signature stands with the settings, why a metric has no scores with what was left out.
    columns = columns_to_show(table.drop(columns=["signature", "not_scored"], errors="ignore"))
    rows = list(zip(*(column.cells for column in columns), strict=True))
    return Block(stem, caption, columns, rows, [])


def _picture(file: Path) -> Picture:
    content = file.read_bytes()
    [width] = struct.unpack(">I", content[16:20])  # of the PNG's header
    uri = f"data:image/png;base64,{b64encode(content).decode()}"
    return Picture(FIGURES.get(file.stem, file.stem), uri, width / _DPI)


def _opening(notebook: Path) -> tuple[str, str, str]:
    """The number, heading and first paragraph of a notebook."""
    first = json.loads(notebook.read_text(encoding="utf-8"))["cells"][0]["source"]
    heading, lead, *_ = "".join(first).split("\n\n")
    number, _, heading = heading.removeprefix("# ").partition(" ")
    return number, heading, lead.replace("`", "").replace("*", "")


def _place(stem: str) -> tuple[str, int, str]:
    """Where a table or figure comes on the page: by notebook, then as the captions stand."""
    known = [*TABLES, *FIGURES]
    return stem.partition("-")[0], known.index(stem) if stem in known else len(known), stem
