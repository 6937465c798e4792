"""Where everything lies: one function a place, all relative to the project's root.

Nothing here makes a folder, save `write_table` and `write_scores` for the one they write to.
"""

import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from medalign_utils.errors import MedAlignError

# The demo's own COMET model.
COMET_COMPACT = "models/comet-compact"

_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


def project_root() -> Path:
    """The nearest folder, from the current one upwards, that holds the `Snakefile`.

    Notebooks are opened in `notebooks/`, jobs start at the root, executed copies lie in
    `runs/<experiment>/notebooks/`: all three mean the same files. Outside a project it is the
    current folder, so relative paths keep their usual meaning there.

    >>> project_root().is_absolute()
    True
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "Snakefile").is_file():
            return folder
    return here


def resolve(path: str | Path) -> Path:
    """An absolute path; relative ones, and those under `~`, count from the project's root.

    >>> resolve("data/demo") == project_root() / "data" / "demo"
    True
    >>> str(resolve("/srv/release"))
    '/srv/release'
    """
    return project_root() / Path(path).expanduser()


def responses(experiment: str, system: str) -> Path:
    """The responses of one system in one experiment, JSONL.

    >>> responses("demo", "bm25-2k").relative_to(project_root()).as_posix()
    'runs/demo/responses/bm25-2k.jsonl'
    """
    return resolve(f"runs/{experiment}/responses/{system}.jsonl")


def scores(experiment: str, system: str) -> Path:
    """The scores of one system's responses, Parquet.

    >>> scores("demo", "bm25-2k").relative_to(project_root()).as_posix()
    'runs/demo/scores/bm25-2k.parquet'
    """
    return resolve(f"runs/{experiment}/scores/{system}.parquet")


def part(path: Path, shard: int, shards: int) -> Path:
    """What one of several jobs makes of a system's file; of a single job the file itself.

    >>> part(Path("scores/bm25-2k.parquet"), 1, 3).as_posix()
    'scores/bm25-2k/1-of-3.parquet'
    """
    return path if shards == 1 else path.with_suffix("") / f"{shard}-of-{shards}{path.suffix}"


def skipped(experiment: str, system: str) -> Path:
    """The metrics by which a system's responses could not be scored, and why, CSV.

    >>> skipped("demo", "bm25-2k").relative_to(project_root()).as_posix()
    'runs/demo/scores/bm25-2k-skipped.csv'
    """
    return resolve(f"runs/{experiment}/scores/{system}-skipped.csv")


def patients(experiment: str) -> Path:
    """What an experiment's EHRs hold, one row a patient, CSV; `tables/` holds aggregates only.

    >>> patients("demo").relative_to(project_root()).as_posix()
    'runs/demo/patients.csv'
    """
    return resolve(f"runs/{experiment}/patients.csv")


def score_cache(experiment: str, system: str, shard: int = 1, shards: int = 1) -> Path:
    """The scores that one job has computed so far, by the digest of what was scored, JSONL.

    All of an experiment's are in one folder, where each job finds those of the others.

    >>> score_cache("demo", "bm25-2k", 1, 3).relative_to(project_root()).as_posix()
    'runs/demo/score-cache/bm25-2k.1-of-3.jsonl'
    """
    stem = system if shards == 1 else f"{system}.{shard}-of-{shards}"
    return resolve(f"runs/{experiment}/score-cache/{stem}.jsonl")


def table(experiment: str, stem: str) -> Path:
    """A notebook's table; its stem is the notebook's own, with what it holds where there are more.

    >>> table("demo", "05_evaluate_systems").relative_to(project_root()).as_posix()
    'runs/demo/tables/05_evaluate_systems.csv'
    """
    return resolve(f"runs/{experiment}/tables/{stem}.csv")


def figure(experiment: str, stem: str) -> Path:
    """A notebook's figure: the notebook's stem and what it shows.

    >>> figure("demo", "05_evaluate_systems-accuracy").relative_to(project_root()).as_posix()
    'runs/demo/figures/05_evaluate_systems-accuracy.png'
    """
    return resolve(f"runs/{experiment}/figures/{stem}.png")


def counterfactual(experiment: str, change: str) -> Path:
    """The folder of one rewriting of the records, with the answers to it.

    >>> counterfactual("demo", "gender").relative_to(project_root()).as_posix()
    'runs/demo/counterfactuals/gender'
    """
    return resolve(f"runs/{experiment}/counterfactuals/{change}")


def report(experiment: str) -> Path:
    """An experiment's report, one page.

    >>> report("demo").relative_to(project_root()).as_posix()
    'runs/demo/report.html'
    """
    return resolve(f"runs/{experiment}/report.html")


def checkpoint(name: str) -> str:
    """A COMET checkpoint as a parameter names it: a `.ckpt` file's absolute path, or as `weights`.

    comet-compact is also found from outside the project. Its former `.ckpt` file means its folder,
    with a warning.

    >>> checkpoint("/srv/model.ckpt"), checkpoint("Unbabel/wmt22-comet-da")
    ('/srv/model.ckpt', 'Unbabel/wmt22-comet-da')
    """
    if name == f"{COMET_COMPACT}/checkpoints/model.ckpt":
        warnings.warn(f"comet_checkpoint: {name} is now {COMET_COMPACT}", stacklevel=2)
        name = COMET_COMPACT
    if name == COMET_COMPACT and not resolve(name).is_dir():
        return str(Path(__file__).parents[1] / name)
    return str(resolve(name)) if name.endswith(".ckpt") else weights(name)


def weights(name: str) -> str:
    """A metric's weights as a parameter names them: a folder's absolute path, or a hub id as it is.

    A hub id is a name, or an owner and a name with one slash between; what begins with a folder of
    the project, such as `models/mine`, is a path. An empty name stays empty: no weights are named.

    Raises: MedAlignError where a path leads to no folder.

    >>> weights("MingZhong/unieval-sum")
    'MingZhong/unieval-sum'
    >>> weights("medalign_utils/none")
    Traceback (most recent call last):
    ...
    medalign_utils.errors.MedAlignError: no folder medalign_utils/none
    """
    folder = resolve(name)
    if not name or (_HUB_ID.fullmatch(name) and not resolve(Path(name).parts[0]).is_dir()):
        return name
    if not folder.is_dir():
        raise MedAlignError(f"no folder {name}")
    return str(folder)


def command(experiment: str) -> str:
    """The command that makes an experiment's files.

    >>> command("demo")
    'make reproduce'
    >>> command("mine")
    'snakemake --configfile params/mine.yaml'
    """
    if experiment == "demo":
        return "make reproduce"
    return f"snakemake --configfile params/{experiment}.yaml"


def require(experiment: str, *inputs: Path) -> None:
    """End with one line where an input does not exist yet.

    Raises: MedAlignError naming the missing files (the first three) and the command that makes
    them.

    >>> require("demo", project_root())
    >>> require("demo", project_root() / "no-such-file")
    Traceback (most recent call last):
    ...
    medalign_utils.errors.MedAlignError: missing no-such-file; `make reproduce` makes it
    """
    root = project_root()
    missing = [
        str(path.relative_to(root) if path.is_relative_to(root) else path)
        for path in inputs
        if not path.exists()
    ]
    if missing:
        names = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if missing[3:] else "")
        it = "it" if len(missing) == 1 else "them"
        raise MedAlignError(f"missing {names}; `{command(experiment)}` makes {it}")


def opener(private: bool) -> Callable[[str, int], int]:
    """For `open`: new files are readable by their owner only if they are to be private.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "a.jsonl")
    >>> with open(file, "w", opener=opener(True)) as opened:
    ...     oct(file.stat().st_mode & 0o777)
    '0o600'
    """
    return lambda path, flags: os.open(path, flags, 0o600 if private else 0o666)


def write_table(frame: pd.DataFrame, path: Path) -> Path:
    r"""Write a table as CSV, unrounded, the same bytes on every system; return its path.

    The index is left out, a missing value is an empty field, lines end in "\n".

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "tables" / "a.csv"
    >>> write_table(pd.DataFrame({"system": ["a"], "context_tokens": [None]}), path).read_bytes()
    b'system,context_tokens\na,\n'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False, lineterminator="\n")
    return path


def write_scores(frame: pd.DataFrame, path: Path, *, private: bool) -> Path:
    """Write scores as Parquet; return their path.

    A private file is readable by its owner only, from its first byte on.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "scores" / "a.parquet"
    >>> oct(write_scores(pd.DataFrame({"score": [0.5]}), path, private=True).stat().st_mode & 0o777)
    '0o600'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # or it would keep its mode
    with open(path, "wb", opener=opener(private)) as file:
        frame.to_parquet(file, index=False)
    return path
