"""What responses depend on, and the store that keeps them under these settings."""

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from medalign_utils import __version__
from medalign_utils.data.release import Release
from medalign_utils.data.store import Store, is_locked, locked, read_lines
from medalign_utils.errors import MedAlignError
from medalign_utils.generation.system import shaping_settings
from medalign_utils.paths import resolve
from medalign_utils.prompts.templates import Wording
from medalign_utils.prompts.tokenizers import PromptTokenizer

logger = logging.getLogger(__name__)


def run_settings(
    instructions: pd.DataFrame,
    system: Mapping[str, Any],
    tokenizer: PromptTokenizer,
    digests: Mapping[str, str],
) -> dict[str, Any]:
    """Return all that shapes a system's responses; large parts as hashes."""
    asked = instructions[["instruction_id", "person_id", "question"]].to_numpy().tolist()
    ehrs = hashlib.sha256()
    for digest in digests.values():
        ehrs.update(bytes.fromhex(digest))
    settings = {
        "system": shaping_settings(system),
        "instructions_sha256": _digest(asked),
        "ehrs_sha256": ehrs.hexdigest(),
        "tokenizer_sha256": _digest([tokenizer.backend.to_str(), tokenizer.chat]),
        "templates_sha256": _digest(_templates(tokenizer.wording)),
        "medalign_utils": __version__,
    }
    model = resolve(str(system.get("model", "")))
    files = sorted(model.iterdir()) if model.is_dir() else [model]
    if system.get("model") and any(map(Path.is_file, files)):
        # Not their content, which may take minutes to read.
        stats = [(file.name, file.stat()) for file in files if file.is_file()]
        settings["model_files_sha256"] = _digest(
            [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]
        )
    return settings


def ehr_digests(release: Release, instructions: pd.DataFrame) -> dict[str, str]:
    """Return the SHA-256 of the EHR of each patient of instructions, in their order."""
    digests = {}
    for person_id in instructions["person_id"].unique():
        with release.ehr_path(person_id).open("rb") as file:
            digests[person_id] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def short_digest(settings: Mapping[str, Any]) -> str:
    """Return a short hash of settings, with which the keys of a store begin."""
    return _digest(settings)[:12]


@contextlib.contextmanager
def lock_store(path: Path, private: bool, shard: int, shards: int) -> Iterator[None]:
    """Hold the lock on a job's store in a ``with`` block; see `store.locked`.

    Raises:
        MedAlignError: another run answers the same system in another number of shards.
    """
    own = _store_file(path, shard, shards).with_suffix(".lock")
    with locked(own, private=private):
        same = set(own.parent.glob("store.lock" if shards == 1 else f"store-*-of-{shards}.lock"))
        for file in sorted(set(own.parent.glob("store*.lock")) - same):
            if is_locked(file):
                raise MedAlignError(
                    f"{path}: {file.read_text()} answers the same system in other shards; run it "
                    "again when that has ended"
                )
        yield


def open_store(
    path: Path, settings: dict[str, Any], terms: dict[str, Any], shard: int, shards: int
) -> Store:
    """Return a job's store; if nothing was answered under these settings, say what has changed."""
    private, folder = terms["restricted"], path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    if private:  # also what was written before the release was restricted
        folder.chmod(0o700)
        for file in (path, *folder.glob("*")):
            with contextlib.suppress(FileNotFoundError):
                file.chmod(0o600)
    file = _store_file(path, shard, shards)
    others = sorted(set(folder.glob("store*.jsonl")) - {file})
    store = Store(file, private=private, readable=others)
    settings_key = short_digest(settings)
    if not any(key.startswith(settings_key) for key in store):
        _take_over(store, settings_key, set(path.parent.glob("*/store*.jsonl")) - {file, *others})
    before, now = store.get("settings"), {"settings": settings, "terms": terms}
    if before != now:
        if before and not any(key.startswith(settings_key) for key in store):
            logger.warning(
                "%s: starting over, because %s; earlier responses stay in %s",
                path,
                "; ".join(_differences(before["settings"], settings)),
                folder,
            )
        store.put("settings", now)
    return store


def _store_file(path: Path, shard: int, shards: int) -> Path:
    name = "store.jsonl" if shards == 1 else f"store-{shard}-of-{shards}.jsonl"
    return path.with_suffix("") / name


def _take_over(store: Store, settings: str, others: Iterable[Path]) -> None:
    """Copy what systems of other names have answered under the same settings (a digest)."""
    for file in sorted(others):
        if settings.encode() not in file.read_bytes():
            continue
        logger.info("%s: its responses have the same settings and are taken over", file)
        for row in read_lines(file, {"key"}, growing=True):
            if (key := row.pop("key")).startswith(settings) and key not in store:
                store.put(key, row)


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], under: str = "") -> list[str]:
    lines = []
    for key in sorted(set(before) | set(now)):
        old, new, name = before.get(key), now.get(key), f"{under}{key}"
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            lines += _differences(old, new, f"{name}.")
        elif name.endswith("_sha256"):
            lines.append(f"{name.removesuffix('_sha256')} changed")
        else:
            lines.append(f"{name} is {new!r} and was {old!r}")
    return lines


def _templates(wording: Wording) -> list[str]:
    """Return the wording as texts with the names of fields that digests have always had."""
    names = {"record": "{ehr}", "instruction": "{instruction}", "previous": "{previous}"}
    templates = [template.format(**names) for template in (wording.answer, wording.refine)]
    return [*templates, *([wording.system] if wording.system else [])]


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
