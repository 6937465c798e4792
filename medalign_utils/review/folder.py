"""The files of a review, `reviews/<experiment>/`, which only their owner can read.

    plan.json                       what raters may know: no system's name, no secret
    key.json                        rater -> item -> letter -> systems; never for a rater's process
    secrets.json                    rater -> the secret of the rater's link, for the server only
    raters/<rater>/items.jsonl      the rater's items, blinded, in order
    raters/<rater>/journal.jsonl    the rater's actions; see `review.journal`

They are outside `runs/`, because people's work must survive the deletion of a run.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from medalign_utils import paths
from medalign_utils.errors import MedAlignError, reading, suggest

VERSION = 1  # of the plan
_NAME = re.compile(r"\w[\w.@+-]*")


def review_folder(experiment: str) -> Path:
    """Return the folder of an experiment's review.

    >>> paths.short(review_folder("demo"))
    'reviews/demo'
    """
    return paths.resolve("reviews") / _checked(experiment, "experiment")


def rater_folder(folder: Path, rater: str) -> Path:
    """Return the folder of a rater's items and journal in a review's folder."""
    return folder / "raters" / _checked(rater, "rater")


def plan_file(folder: Path) -> Path:
    """Return the file of a review's plan."""
    return folder / "plan.json"


def key_file(folder: Path) -> Path:
    """Return the file that says which letter is which system."""
    return folder / "key.json"


def secrets_file(folder: Path) -> Path:
    """Return the file of the secrets of the raters' links."""
    return folder / "secrets.json"


def items_file(folder: Path, rater: str) -> Path:
    """Return the file of a rater's items."""
    return rater_folder(folder, rater) / "items.jsonl"


def journal_file(folder: Path, rater: str) -> Path:
    """Return the file of a rater's actions."""
    return rater_folder(folder, rater) / "journal.jsonl"


def read_plan(folder: Path) -> dict[str, Any]:
    """Return a review's plan; MedAlignError if there is none, or a newer version wrote it."""
    file = plan_file(folder)
    if not file.is_file():
        raise MedAlignError(
            f"no plan {paths.short(file)}; `python -m medalign_utils review plan "
            f"params/{paths.without_limit(folder.name)}.yaml --raters 3` makes one"
        )
    plan = _read(file)
    if plan.get("version") != VERSION:
        raise MedAlignError(
            f"{paths.short(file)}: version {plan.get('version')!r}, but this version of "
            f"medalign_utils reads version {VERSION}"
        )
    return plan


def read_key(folder: Path) -> dict[str, dict[str, dict[str, list[str]]]]:
    """Return the systems by rater, item and letter; see `plan.Plan.key`."""
    key = _read(key_file(folder))
    return {
        rater: {
            name: {letter: [s] if isinstance(s, str) else s for letter, s in systems.items()}
            for name, systems in items.items()
        }
        for rater, items in key.items()
    }


def read_secrets(folder: Path) -> dict[str, str]:
    """Return the secrets of the raters' links."""
    return _read(secrets_file(folder))


def read_items(folder: Path, rater: str) -> list[dict[str, Any]]:
    """Return a rater's items in order; MedAlignError if the review has no such rater."""
    file = items_file(folder, rater)
    if not file.is_file():
        known = read_plan(folder)["raters"]
        raise MedAlignError(f"{paths.short(folder)}: no rater {rater!r}{suggest(rater, known)}")
    with reading(file, MedAlignError):
        lines = file.read_bytes().split(b"\n")
    try:
        return [json.loads(line) for line in lines if line]
    except ValueError:  # its message may quote a record
        raise MedAlignError(f"{paths.short(file)}: a line is not JSON") from None


def write_json(value: Mapping[str, Any], file: Path) -> None:
    """Write a file of a review as JSON, for its owner only."""
    _write(json.dumps(value, indent=1, ensure_ascii=False) + "\n", file)


def write_items(items: Iterable[Mapping[str, Any]], file: Path) -> None:
    """Write a rater's items as JSON lines, for their owner only."""
    _write("".join(json.dumps(item) + "\n" for item in items), file)


def make_private(folder: Path) -> None:
    """Create a folder in `reviews/`, if there is none, and close it and `reviews/` to others."""
    inside = [folder, *folder.parents]
    n = next((i for i, path in enumerate(inside) if path.name == "reviews"), 0)
    for path in reversed(inside[: n + 1]):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_mode & 0o077:
            path.chmod(0o700)


def _write(text: str, file: Path) -> None:
    make_private(file.parent)
    paths.write_text(text, file, private=True)


def _read(file: Path) -> dict[str, Any]:
    with reading(file, MedAlignError):
        content = file.read_bytes()
    try:
        value = json.loads(content)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise MedAlignError(f"{paths.short(file)}: expected a JSON object")
    return value


def _checked(name: str, what: str) -> str:
    """Return a name after checking that it stays in its folder."""
    if not _NAME.fullmatch(name):
        raise MedAlignError(f"{what} {name!r}: expected letters, digits, '-' and '_'")
    return name
