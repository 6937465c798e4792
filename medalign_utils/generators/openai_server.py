"""Language models behind a server that speaks OpenAI's API."""

from collections.abc import Mapping
from typing import Any

from medalign_utils.generators.generation import Generator


def openai(
    *,
    model: str,
    base_url: str,
    api_key_env: str | None = None,
    api_version: str | None = None,
    concurrency: int = 8,
    timeout_s: float = 120,
    attempts: int = 6,
    request: Mapping[str, Any] | None = None,
) -> Generator:
    """To be written."""
    raise NotImplementedError
