"""One run of an experiment: its folder, release and systems, and how its results are saved."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from medalign_utils import paths
from medalign_utils.data.limit import limited
from medalign_utils.data.release import ANNOTATOR, Release, load_release
from medalign_utils.data.responses import responses_of
from medalign_utils.data.store import Store
from medalign_utils.errors import MedAlignError
from medalign_utils.outputs import OUTPUTS, stem
from medalign_utils.stats.bootstrap import Bootstrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Run:
    """What the notebooks of one experiment share.

    Attributes:
        experiment: its name; the files are in `runs/<experiment>/`.
        release_folder: the release's folder, relative to the project's root.
        systems: names of the evaluated systems.
        source: the origin of responses: this run ("generated") or the release ("released").
        combine: how to combine the ratings of several raters; see `evaluation.ratings`.
        columns: our column -> the release's name for it.
        notebook: stem of the notebook that saves results, such as "05_evaluate_systems".
        annotator: the preferred annotator of references.
        resamples: number of bootstrap resamples.
        seed: seed of all randomness.
        limit: number of instructions, if not all; see `data.limit`.
    """

    experiment: str
    release_folder: str | Path
    systems: Sequence[str] = ()
    source: str = "generated"
    combine: str = "first"
    columns: Mapping[str, str] = field(default_factory=dict)
    notebook: str = ""
    annotator: str = ANNOTATOR
    resamples: int = 2000
    seed: int = 1
    limit: int | None = None

    @classmethod
    def of(cls, experiment: Mapping[str, Any]) -> "Run":
        """Return the run of an experiment from `config.load_experiment`."""
        return cls(
            experiment["experiment"],
            experiment["release"],
            experiment["systems"],
            source=experiment["responses"],
            combine=experiment["combine_raters"],
            columns=experiment["columns"],
            limit=experiment.get("limit"),
        )

    def seeded(self, resamples: int, seed: int) -> "Run":
        """Return the same run with other bootstrap settings."""
        return replace(self, resamples=resamples, seed=seed)

    def limited(self, limit: int | None) -> "Run":
        """Return the same run with so many instructions, or with all.

        Raises:
            MedAlignError: the experiment's name lacks the limit, so results would replace others.
        """
        name = paths.with_limit(paths.without_limit(self.experiment), limit)
        if self.experiment != name:
            raise MedAlignError(
                f"limit = {limit} needs experiment = {name!r}, so that the results do not replace "
                f"those in runs/{self.experiment}"
            )
        return replace(self, limit=limit)

    @cached_property
    def release(self) -> Release:
        """The release, loaded once, within the limit; a warning says what it leaves."""
        folder = paths.resolve(self.release_folder)
        release = load_release(folder, annotator=self.annotator, columns=self.columns)
        if self.limit is None:
            return release
        release = limited(release, self.limit)
        if release.limited_to:
            warnings.warn(f"{self.experiment}: limited to {release.limited_to}", stacklevel=3)
        return release

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
        return pd.concat(map(pd.read_csv, files), ignore_index=True)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The scores of all systems by the metrics that all have; columns as `Scored.scores`."""
        files = [paths.scores(self.experiment, system) for system in self.systems]
        paths.require(self.experiment, *files)
        scores = pd.concat(map(pd.read_parquet, files), ignore_index=True)
        return scores[~scores["metric"].isin(self.skipped["metric"])]

    def score_store(self, system: str, shard: int = 1, shards: int = 1) -> Store:
        """Return the store of scores computed so far by all jobs; each job writes its own file."""
        file = paths.score_cache(self.experiment, system, shard, shards)
        other_files = [path for path in sorted(file.parent.glob("*.jsonl")) if path != file]
        return Store(file, private=self.is_restricted, readable=other_files)

    def require_responses(self, systems: Sequence[str] | None = None) -> None:
        """Check that the systems' generated responses exist; see `paths.require`."""
        if self.source == "generated":
            names = self.systems if systems is None else systems
            paths.require(self.experiment, *(paths.responses(self.experiment, s) for s in names))

    def read_table(self, notebook: str, suffix: str = "") -> pd.DataFrame:
        """Return a table that a notebook of this run saved; see `paths.require`."""
        file = paths.table(self.experiment, stem(notebook, suffix))
        paths.require(self.experiment, file)
        return pd.read_csv(file, float_precision="round_trip")

    def save(self, result: "pd.DataFrame | Axes | Figure | str", suffix: str = "") -> None:
        """Write a table of the run's notebook as CSV, or a figure as PNG.

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
            paths.write_table(result, paths.table(self.experiment, file))
            return
        if isinstance(result, str):
            say(result)
            result = _only_text(result)
        if self.limited_to:
            figure = result if hasattr(result, "savefig") else result.figure
            figure.suptitle(f"Limited to {self.limited_to}", fontsize=7, color="#A84300")
        write_figure(result, paths.figure(self.experiment, file))


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
    """Write a figure as PNG and return `path`; equal figures give equal bytes."""
    if not hasattr(figure, "savefig"):
        figure = figure.figure
    path.parent.mkdir(parents=True, exist_ok=True)
    # By default matplotlib writes its version into the file.
    figure.savefig(path, format="png", dpi=300, metadata={"Software": None})
    return path
