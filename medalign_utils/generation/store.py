"""The files of one system's run, which never lose a response and never mix two runs' responses.

Under ``responses/``, ``<system>.jsonl`` holds the complete run's responses in the order of the
release, and ``<system>/<digest of the settings>/`` all that was made with one set of settings:
``settings.json`` says what they are, ``responses.jsonl`` has each response as it came,
``steps.jsonl`` the intermediate answers of refinement, ``failures.jsonl`` why some prompts have no
response. Where several jobs answer a shard each, a job writes files of its own
(``responses-2-of-3.jsonl``) and publishes to ``<system>/2-of-3.jsonl``, but reads those of all, so
the number of shards may change from one run to the next.

Other settings have another folder, so nothing is moved, and nothing is asked again when the old
settings return. Nor is it when a workflow deletes ``<system>.jsonl`` before it runs a job.
"""

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from medalign_utils.paths import opener, part

logger = logging.getLogger(__name__)


class RunFiles:
    """One system's files under one set of settings.

    Attributes:
        system: its name.
        published: the complete run's responses, or the complete shard's.
        folder: of the other files.
        responses: finished ones.
        steps: intermediate answers.
        failures: of the last run.
    """

    def __init__(
        self,
        published: Path,
        settings: Mapping[str, Any],
        terms: Mapping[str, Any],
        *,
        private: bool,
        shard: int = 1,
        shards: int = 1,
    ) -> None:
        """Make the folder of these settings; say what differs if the last run had others.

        Args:
            published: ``<system>.jsonl``.
            settings: what prompts and answers depend on, as JSON can hold it.
            terms: kept beside the settings; they make no difference.
            private: whether all files are to be readable by their owner only.
            shard: which part of the instructions this job answers, from 1.
            shards: of how many.
        """
        text = json.dumps(settings, sort_keys=True)
        runs = published.with_suffix("")
        self.system = published.stem
        self.published = part(published, shard, shards)
        self.folder = runs / hashlib.sha256(text.encode()).hexdigest()[:12]
        self._part = "" if shards == 1 else f"-{shard}-of-{shards}"
        self.responses = self.folder / f"responses{self._part}.jsonl"
        self.steps = self.folder / f"steps{self._part}.jsonl"
        self.failures = self.folder / f"failures{self._part}.jsonl"
        self._opener = opener(private)
        if not self.all_of("responses") and (last := _last_run(runs, self.folder)) is not None:
            before = _read_json(last / "settings.json").get("settings", {})
            differences = _differences(before, json.loads(text)) or ["its settings cannot be read"]
            logger.warning(
                "%s: starting over, because %s; what was there stays in %s",
                published,
                "; ".join(differences),
                last,
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        if private:
            # Also what was made when the release did not count as restricted yet.
            for path in (runs, self.folder):
                path.chmod(0o700)
            for file in (published, *runs.glob("*.jsonl"), *self.folder.iterdir()):
                with contextlib.suppress(FileNotFoundError):
                    file.chmod(0o600)
        content = {"settings": settings, "terms": dict(terms)}
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        self._replace(self.folder / "settings.json", text)

    def all_of(self, kind: str) -> list[Path]:
        """The files of "responses", "steps" or "failures", of this and of any other sharding."""
        return sorted(self.folder.glob(f"{kind}*.jsonl"))

    def forget_failures(self) -> None:
        """Take this job's failures, and those of a run with another number of shards."""
        shards = self._part.partition("-of-")[2]
        for file in self.all_of("failures"):
            if file == self.failures or file.stem.partition("-of-")[2] != shards:
                file.unlink(missing_ok=True)

    def append(self, file: Path) -> TextIO:
        """Open one of the files to write lines at its end."""
        return open(file, "a", encoding="utf-8", newline="\n", opener=self._opener)

    def publish(self, rows: list[Mapping[str, Any]]) -> None:
        """Write the published file, unless it holds just these rows."""
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        if not self.published.exists() or self.published.read_bytes() != text.encode():
            self._replace(self.published, text)

    def _replace(self, file: Path, text: str) -> None:
        # Another job may write its own at the same moment.
        temporary = self.folder / f"{file.name}{self._part}.new"
        temporary.unlink(missing_ok=True)
        with open(temporary, "w", encoding="utf-8", newline="\n", opener=self._opener) as opened:
            opened.write(text)
        os.replace(temporary, file)


def _last_run(runs: Path, but: Path) -> Path | None:
    """The folder of other settings that was written to last and holds responses."""
    files = [file for file in runs.glob("*/responses*.jsonl") if file.parent != but]
    return max(files, key=lambda file: file.stat().st_mtime).parent if files else None


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], under: str = "") -> list[str]:
    said = []
    for key in sorted(set(before) | set(now)):
        old, new = before.get(key), now.get(key)
        if old == new:
            continue
        name = f"{under}{key}"
        if isinstance(old, dict) and isinstance(new, dict):
            said += _differences(old, new, f"{name}.")
        elif name.endswith("_sha256"):
            said.append(f"{name.removesuffix('_sha256')} changed")
        else:
            said.append(f"{name} is {new!r} and was {old!r}")
    return said
