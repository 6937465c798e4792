"""One run of an experiment: its folder, release and systems, and how its results are saved."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from medalign_utils import paths
from medalign_utils.data.disclosure import disclosable_instructions
from medalign_utils.data.limit import limited
from medalign_utils.data.release import ANNOTATOR, Release, load_release
from medalign_utils.data.responses import responses_of
from medalign_utils.data.store import Store
from medalign_utils.errors import MedAlignError
from medalign_utils.outputs import FIGURE_KINDS, OUTPUTS, stem
from medalign_utils.provenance.notebook import notebook_parameters
from medalign_utils.provenance.records import (
    add_to_record,
    other_settings,
    read_record,
    settings_of,
)
from medalign_utils.stats.bootstrap import Bootstrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Parameter of experiments and notebooks -> field of a run.
_FIELDS = {
    "release": "release_folder",
    "systems": "systems",
    "responses": "source",
    "ratings": "ratings",
    "combine_raters": "combine",
    "columns": "columns",
    "annotator": "annotator",
    "resamples": "resamples",
    "seed": "seed",
    "limit": "limit",
    "only_with_reference": "only_with_reference",
    "save": "saves",
}


@dataclass(frozen=True)
class Run:
    """What the notebooks of one experiment share.

    Attributes:
        experiment: its name; the files are in `runs/<experiment>/`.
        release_folder: the release's folder, relative to the project's root.
        systems: names of the evaluated systems.
        source: the origin of responses: this run ("generated") or the release ("released").
        ratings: whose: "given" by the release's clinicians or answer key, or "collected" by a
            review; see `evaluation.ratings`.
        combine: how to combine the ratings of several raters; see `evaluation.ratings`.
        columns: our column -> the release's name for it.
        notebook: stem of the notebook that saves results, such as "05_evaluate_systems".
        annotator: the preferred annotator of references.
        resamples: number of bootstrap resamples.
        seed: seed of all randomness.
        limit: number of instructions, if not all; see `data.limit`.
        only_with_reference: whether systems answer only instructions with a reference.
        saves: whether tables, figures and other results are written.
        settings: the notebook's parameters that its results depend on.
    """

    experiment: str
    release_folder: str | Path
    systems: Sequence[str] = ()
    source: str = "generated"
    ratings: str = "given"
    combine: str = "first"
    columns: Mapping[str, str] = field(default_factory=dict)
    notebook: str = ""
    annotator: str = ANNOTATOR
    resamples: int = 2000
    seed: int = 1
    limit: int | None = None
    only_with_reference: bool = True
    saves: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, parameters: Mapping[str, Any], **others: Any) -> "Run":
        """Return the run of an experiment's or notebook's parameters; `others` replace fields.

        A limited run has a folder of its own; see `paths.with_limit`.
        """
        known = {to: parameters[name] for name, to in _FIELDS.items() if name in parameters}
        name = paths.without_limit(parameters["experiment"])
        return cls(paths.with_limit(name, parameters.get("limit")), **(known | others))

    @classmethod
    def of_notebook(cls, notebook: str, names: Mapping[str, Any], **others: Any) -> "Run":
        """Return the run of a notebook's parameters, and say if it saves nothing.

        Args:
            notebook: stem of the notebook, such as "05_evaluate_systems".
            names: its `globals()`, with its parameters.
            others: replace fields, such as `systems=[system]`.
        """
        parameters = {
            name: names[name] for name in notebook_parameters(f"notebooks/{notebook}.ipynb")
        }
        settings = settings_of(notebook, parameters)
        run = cls.of(parameters, notebook=notebook, settings=settings, **others)
        if not run.saves and any(OUTPUTS[notebook]):
            say(f"Results are shown, but not saved in runs/{run.experiment}, because save = False.")
        return run

    @cached_property
    def release(self) -> Release:
        """The release, loaded once, within the limit; a warning says what it leaves.

        If it is restricted, the run's files become private; see `paths.keep_private`.
        """
        folder = paths.resolve(self.release_folder)
        release = load_release(folder, annotator=self.annotator, columns=self.columns)
        release = replace(release, only_with_reference=self.only_with_reference)
        if release.is_restricted:
            paths.keep_private(paths.report(self.experiment).parent)
        if self.limit is None:
            return release
        release = limited(release, self.limit)
        if release.limited_to:
            warnings.warn(f"{self.experiment}: limited to {release.limited_to}", stacklevel=3)
        return release

    def grouped_instructions(self, rated: Collection[str] = ()) -> pd.DataFrame:
        """Return the release's instructions; see `disclosable_instructions` if it is restricted."""
        release = self.release
        if not release.is_restricted:
            return release.instructions
        return disclosable_instructions(release.instructions, release.references, rated)

    @property
    def limited_to(self) -> str:
        """What the limit leaves of the release; see `Release.limited_to`."""
        return "" if self.limit is None else self.release.limited_to

    @property
    def is_restricted(self) -> bool:
        """Whether the release's terms of use restrict showing or sharing it."""
        return self.release.is_restricted

    @property
    def bootstrap(self) -> Bootstrap:
        """A new bootstrap, seeded with the run's seed."""
        return Bootstrap.seeded(self.resamples, self.seed)

    def responses(self, system: str) -> pd.DataFrame:
        """Return a system's responses; see `data.responses.responses_of`."""
        return responses_of(self.release, self.experiment, system, self.source)

    @cached_property
    def skipped(self) -> pd.DataFrame:
        """The skipped metrics of all systems: metric, reason."""
        files = [paths.skipped(self.experiment, system) for system in self.systems]
        paths.require(self.experiment, *files)
        return pd.concat(map(paths.read_csv, files), ignore_index=True)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The scores of all systems by the metrics that all have; columns as `Scored.scores`."""
        files = [paths.scores(self.experiment, system) for system in self.systems]
        paths.require(self.experiment, *files)
        scores = pd.concat(map(pd.read_parquet, files), ignore_index=True)
        return scores[~scores["metric"].isin(self.skipped["metric"])]

    def save_scores(
        self,
        scores: pd.DataFrame,
        skipped: pd.DataFrame,
        system: str,
        shard: int = 1,
        shards: int = 1,
    ) -> None:
        """Write a system's scores and skipped metrics; if the run does not save, replace none."""
        file, reasons = (
            paths.part(path, shard, shards)
            for path in (
                paths.scores(self.experiment, system),
                paths.skipped(self.experiment, system),
            )
        )
        if not self.saves and file.is_file():
            if not scores.reset_index(drop=True).equals(pd.read_parquet(file)):
                say(f"{paths.short(file)} stays as it is, because save = False.")
            return
        paths.write_scores(scores, file, private=self.is_restricted)
        paths.write_table(skipped, reasons)

    def score_store(self, system: str, shard: int = 1, shards: int = 1) -> Store:
        """Return the store of scores computed so far by all jobs; each job writes its own file."""
        file = paths.score_cache(self.experiment, system, shard, shards)
        other_files = [path for path in sorted(file.parent.glob("*.jsonl")) if path != file]
        return Store(file, private=self.is_restricted, readable=other_files)

    def require_responses(self) -> None:
        """Check that the systems' generated responses exist; see `paths.require`."""
        if self.source == "generated":
            files = (paths.responses(self.experiment, system) for system in self.systems)
            paths.require(self.experiment, *files)

    def read_table(self, notebook: str, suffix: str = "") -> pd.DataFrame:
        """Return a table that a notebook of this run saved; see `require_saved`."""
        file = paths.table(self.experiment, stem(notebook, suffix))
        self.require_saved(notebook, file)
        return paths.read_csv(file, float_precision="round_trip")

    def read_patients(self) -> pd.DataFrame:
        """Return the summary of the EHRs that notebook 01 saved, one row per patient."""
        file = paths.patients(self.experiment)
        self.require_saved("01_explore_release", file)
        return paths.read_csv(file, float_precision="round_trip")

    def require_saved(self, notebook: str, file: Path) -> None:
        """Check that a notebook of this run saved a file, with the settings that both share.

        Raises:
            MedAlignError: the file is missing; or its settings differ, and this run saves. If this
                run does not, a sentence says which differ.
        """
        if not file.is_file():
            raise MedAlignError(
                f"missing {paths.short(file)}; `{paths.reproduce(self.experiment)}` writes it, and "
                f"so does notebook {notebook} with save = True"
            )
        record = read_record(self.experiment, notebook)
        different = other_settings(record, self.settings) if record and self.settings else []
        if not different:
            return
        text = f"{paths.short(file)} was made with {'; '.join(different)} as here"
        if self.saves:
            command = paths.reproduce(self.experiment)
            raise MedAlignError(
                f"{text}: `{command}` makes it again with the experiment's settings"
            )
        say(f"{text}.")

    def save(self, result: "pd.DataFrame | Axes | Figure | str", suffix: str = "") -> None:
        """Write a table of the run's notebook as CSV, or a figure in three formats, if it saves.

        If a figure does not apply, `result` is a sentence that is shown and saved instead. Tables
        and figures of a limited run say so, in the column `limited_to` or above the figure.

        Raises:
            MedAlignError: `outputs.OUTPUTS` does not list it.

        >>> Run("demo", "data/demo", notebook="05_evaluate_systems").save(pd.DataFrame(), "pears")
        Traceback (most recent call last):
        ...
        medalign_utils.errors.MedAlignError: 05_evaluate_systems has no table 'pears'; it has \
'', pairs, contexts, cost, groups
        """
        is_table = isinstance(result, pd.DataFrame)
        kind = "tables" if is_table else "figures"
        listed = getattr(OUTPUTS[self.notebook], kind)
        if suffix not in listed:
            names = ", ".join(name or "''" for name in listed)
            raise MedAlignError(f"{self.notebook} has no {kind[:-1]} {suffix!r}; it has {names}")
        file = stem(self.notebook, suffix)
        if is_table:
            if self.limited_to:
                result = result.assign(limited_to=self.limited_to)
            self.save_file(result, paths.table(self.experiment, file))
            return
        if isinstance(result, str):
            say(result)
            result = _only_text(result)
        if self.limited_to:
            figure = result if hasattr(result, "savefig") else result.figure
            figure.suptitle(f"Limited to {self.limited_to}", fontsize=7, color="#A84300")
        if self.saves:
            kinds = (paths.figure(self.experiment, file, kind) for kind in FIGURE_KINDS)
            self._record(*(write_figure(result, path) for path in kinds))

    def save_file(self, table: pd.DataFrame, file: Path) -> None:
        """Write another table of the run's notebook to a file of the run, if the run saves."""
        if self.saves:
            self._record(paths.write_table(table, file))

    def _record(self, *files: Path) -> None:
        """Record how files were made; see `provenance.records`."""
        if self.settings:
            add_to_record(files, self.experiment, self.notebook, self.settings)


def _only_text(sentence: str) -> "Figure":
    """A figure with only a sentence, because the workflow expects a file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.4))  # not by pyplot, so that the notebook does not draw it
    figure.text(0.01, 0.5, sentence, fontsize=7.5, va="center")
    return figure


def say(*sentences: str) -> None:
    """Display sentences in a notebook as a paragraph."""
    from IPython.display import HTML, display

    display(HTML(f"<p>{escape(' '.join(sentences))}</p>"))


def write_figure(figure: "Axes | Figure", path: Path) -> Path:
    """Write a figure as its suffix says and return `path`; equal figures give equal bytes.

    PDF embeds its fonts as TrueType, as journals ask; SVG has text as outlines.
    """
    import matplotlib as mpl

    if not hasattr(figure, "savefig"):
        figure = figure.figure
    path.parent.mkdir(parents=True, exist_ok=True)
    # By default matplotlib writes its version, the date and random ids.
    left_out = {
        ".png": ["Software"],
        ".pdf": ["Creator", "Producer", "CreationDate"],
        ".svg": ["Creator", "Date"],
    }
    options = {"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": path.stem}
    with mpl.rc_context(options):
        figure.savefig(path, dpi=300, metadata=dict.fromkeys(left_out[path.suffix]))
    return path
