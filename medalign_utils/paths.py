"""Paths of files, relative to the project's root: one function per kind of file.

Only `writing` and the `write_...` functions create folders.
"""

import contextlib
import json
import os
import re
import stat
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pandas as pd

from medalign_utils.errors import MedAlignError

# Text that spreadsheets compute, numbers apart.
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r]")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_NEUTRALIZED = rf"^'(?={_FORMULA.pattern})()"
# The COMET model that comes with the project.
COMET_COMPACT = "models/comet-compact"

_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


def project_root() -> Path:
    """Return the current folder or its nearest parent with a `Snakefile`; else the current one."""
    cwd = Path.cwd()
    return next((f for f in (cwd, *cwd.parents) if (f / "Snakefile").is_file()), cwd)


def resolve(path: str | Path) -> Path:
    """Return an absolute path; relative paths start at the project's root, and `~` is expanded.

    >>> resolve("data/demo") == project_root() / "data/demo", str(resolve("/srv/release"))
    (True, '/srv/release')
    """
    return project_root() / Path(path).expanduser()


def short(path: Path) -> str:
    """Return a path for messages, relative to the project's root if it is inside the project."""
    root = project_root()
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


# Between an experiment and its limit; no file in `params/` may have it in its name.
_LIMIT = "@"


def with_limit(experiment: str, limit: int | None) -> str:
    """Return the name of an experiment with a limit, so that its files are in a separate folder.

    >>> with_limit("demo", 20), with_limit("demo", None)
    ('demo@20', 'demo')
    """
    return experiment if limit is None else f"{experiment}{_LIMIT}{limit}"


def without_limit(experiment: str) -> str:
    """Return the stem of an experiment's file; see `with_limit`."""
    return experiment.partition(_LIMIT)[0]


def _run(experiment: str, name: str) -> Path:
    return resolve(f"runs/{experiment}/{name}")


def responses(experiment: str, system: str) -> Path:
    """Return the file of a system's responses, JSONL.

    >>> short(responses("demo", "bm25-2k"))
    'runs/demo/responses/bm25-2k.jsonl'
    """
    return _run(experiment, f"responses/{system}.jsonl")


def rewordings(experiment: str, system: str) -> Path:
    """Return the file of a system's responses to rewordings of the instructions, JSONL."""
    return _run(experiment, f"rewordings/{system}.jsonl")


def ratings(experiment: str) -> Path:
    """Return the file of the verdicts that `evaluation.regrade` last gave, CSV."""
    return _run(experiment, "ratings.csv")


def scores(experiment: str, system: str) -> Path:
    """Return the file of a system's scores, Parquet."""
    return _run(experiment, f"scores/{system}.parquet")


def skipped(experiment: str, system: str) -> Path:
    """Return the file of the metrics that were skipped for a system, with reasons, CSV."""
    return _run(experiment, f"scores/{system}-skipped.csv")


def part(path: Path, shard: int, shards: int) -> Path:
    """Return the file of one shard, which is the file itself if there is only one.

    >>> part(Path("scores/bm25-2k.parquet"), 1, 3).as_posix()
    'scores/bm25-2k/1-of-3.parquet'
    """
    return path if shards == 1 else path.with_suffix("") / f"{shard}-of-{shards}{path.suffix}"


def score_cache(experiment: str, system: str, shard: int = 1, shards: int = 1) -> Path:
    """Return the file of the scores that a job has computed so far, JSONL."""
    stem = system if shards == 1 else f"{system}.{shard}-of-{shards}"
    return _run(experiment, f"score-cache/{stem}.jsonl")


def patients(experiment: str) -> Path:
    """Return the file of the summary of the EHRs, one row per patient, CSV."""
    return _run(experiment, "patients.csv")


def table(experiment: str, stem: str) -> Path:
    """Return the file of a table, CSV; see `outputs.stem`."""
    return _run(experiment, f"tables/{stem}.csv")


def figure(experiment: str, stem: str, kind: str = "png") -> Path:
    """Return the file of a figure, of one of the `outputs.FIGURE_KINDS`; see `outputs.stem`."""
    return _run(experiment, f"figures/{stem}.{kind}")


def counterfactual(experiment: str, change: str) -> Path:
    """Return the folder of records with one demographic rewritten, and their responses."""
    return _run(experiment, f"counterfactuals/{change}")


def status(experiment: str, job: str) -> Path:
    """Return the file of a job's outcome, JSON; see `reporting.jobs`."""
    return _run(experiment, f"status/{job}.json")


def provenance(experiment: str, notebook: str) -> Path:
    """Return the file that says how a notebook's files were made; see `provenance.records`."""
    return _run(experiment, f"provenance/{notebook}.json")


def run_record(experiment: str) -> Path:
    """Return the file of a run's provenance and missing results, JSON."""
    return _run(experiment, "run.json")


def report(experiment: str) -> Path:
    """Return the file of an experiment's report, HTML."""
    return _run(experiment, "report.html")


def checkpoint(name: str) -> str:
    """Return the COMET checkpoint that a parameter names: a `.ckpt` file, or as `weights`.

    comet-compact is also found from outside the project, and under its former name.

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
    """Return the weights that a parameter names: a folder's absolute path, a hub id, or "".

    A name is taken for a path if its first part is a folder in the project.

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


def require(experiment: str, *inputs: Path) -> None:
    """Check that files exist; MedAlignError names those missing and the command to create them.

    >>> require("demo", project_root(), project_root() / "no-such-file")
    Traceback (most recent call last):
    ...
    medalign_utils.errors.MedAlignError: missing no-such-file; `make reproduce` writes \
it, if params/demo.yaml includes it
    """
    if missing := [short(path) for path in inputs if not path.exists()]:
        more = f" and {len(missing) - 3} more" if missing[3:] else ""
        pronoun = "them" if missing[1:] else "it"
        file = _file_of(experiment)
        raise MedAlignError(
            f"missing {', '.join(missing[:3])}{more}; `{reproduce(experiment)}` writes {pronoun}, "
            f"if {file} includes {pronoun}"
        )


def reproduce(experiment: str) -> str:
    """Return the command that runs an experiment.

    >>> reproduce("demo"), reproduce("mine@20")
    ('make reproduce', 'make reproduce EXPERIMENT=params/mine.yaml')
    """
    file = _file_of(experiment)
    return "make reproduce" + ("" if file == "params/demo.yaml" else f" EXPERIMENT={file}")


def _file_of(experiment: str) -> str:
    return f"params/{without_limit(experiment)}.yaml"


def keep_private(folder: Path) -> None:
    """Let only the owner read a folder, what is in it, and what this process will write.

    This is for restricted releases: a run's process calls it before it writes. Programs that it
    starts inherit this; for an existing folder, existing files are included.

    Raises:
        MedAlignError: a file belongs to someone else.
    """
    os.umask(0o077)
    for path in (folder, *folder.rglob("*")) if folder.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):  # another job has just deleted it
            mode = path.lstat().st_mode
            if path.is_symlink() or not mode & 0o077:
                continue
            try:
                path.chmod(stat.S_IMODE(mode) & ~0o077)
            except PermissionError:
                raise MedAlignError(
                    f"{short(path)} was made from a restricted release, belongs to another user "
                    "and is not private; let them delete it"
                ) from None


def opener(private: bool) -> Callable[[str, int], int]:
    """Return an `opener` for `open`; with `private`, only the owner can read new files."""
    return lambda path, flags: os.open(path, flags, 0o600 if private else 0o666)


@contextlib.contextmanager
def writing(path: Path, mode: str = "w", *, private: bool, **options: Any) -> Iterator[IO]:
    """Give a file that takes the place, and not the mode, of `path` when it is complete.

    If writing fails, an earlier file stays as it is. Pipes and devices are written to directly.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    is_other = path.exists() and not (path.is_file() or path.is_dir())
    if is_other or path.absolute().parts[1:2] in (("dev",), ("proc",)):
        with open(path, mode, **options) as file:
            yield file
        return
    new = path.with_name(f".{os.getpid()}.new")
    try:
        with open(new, mode, opener=opener(private), **options) as file:
            yield file
        os.replace(new, path)
    except OSError as error:
        if error.errno is None or str(error.filename or new) != str(new):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        new.unlink(missing_ok=True)


def write_text(text: str, path: Path, *, private: bool) -> Path:
    """Write text as UTF-8, readable only by the owner if `private`; return `path`."""
    with writing(path, private=private, encoding="utf-8", newline="\n") as file:
        file.write(text)
    return path


def read_json(file: Path) -> dict[str, Any]:
    """Return the object in a run's JSON file; MedAlignError if the file is damaged."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise MedAlignError(f"{short(file)}: damaged; delete it, and a new run makes it again")
    return content


def not_a_formula(value: object) -> object:
    """Return a value of a CSV file; text that a spreadsheet would compute begins with "'".

    >>> [not_a_formula(value) for value in ("=cmd()", "-5", "- x", "a=b", -5)]
    ["'=cmd()", '-5', "'- x", 'a=b', -5]
    """
    is_formula = isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value)
    return f"'{value}" if is_formula else value


def to_csv(frame: pd.DataFrame) -> str:
    """Return a table as CSV, unrounded, without its index; see `not_a_formula` and `read_csv`."""
    safe = frame.astype({name: object for name in frame.select_dtypes(["object", "str"])})
    for name in safe.select_dtypes(["object"]):
        safe[name] = safe[name].map(not_a_formula)
    return safe.rename(columns=not_a_formula).to_csv(index=False, lineterminator="\n")


def read_csv(file: Path, **options: Any) -> pd.DataFrame:
    """Return a table that `to_csv` wrote, as `pandas.read_csv` does, with its original text."""
    table = pd.read_csv(file, **options)
    for name in table.select_dtypes(["object", "str", "string"]):
        table[name] = table[name].str.replace(_NEUTRALIZED, r"\1", regex=True)
    return table.rename(columns=lambda name: re.sub(_NEUTRALIZED, r"\1", str(name)))


def write_table(frame: pd.DataFrame, path: Path) -> Path:
    """Write a table as CSV, unrounded, without its index; return `path`."""
    return write_text(to_csv(frame), path, private=False)


def write_scores(frame: pd.DataFrame, path: Path, *, private: bool) -> Path:
    """Write scores as Parquet, readable only by the owner if `private`; return `path`."""
    with writing(path, "wb", private=private) as file:
        frame.to_parquet(file, index=False)
    return path
