"""Pack the instructions of many patients into prompts, in one process or in several."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from medalign_utils.data.ehr import ehr_text
from medalign_utils.prompts.chat import Chat, load_chat
from medalign_utils.prompts.strategies import STRATEGIES
from medalign_utils.prompts.templates import Packed, count_tokens, load_tokenizer


class PackedEHR(NamedTuple):
    """One EHR's prompts, in the order of its instructions, and its length in tokens if counted."""

    packed: list[Packed]
    ehr_tokens_total: int | None


def pack_ehr(
    path: Path,
    questions: Sequence[str],
    format: str,
    tokenizer: str,
    context_length: int | None,
    count: bool = True,
    *,
    strategy: str = "truncate",
    chat_template: str | bool | None = None,
    options: Mapping[str, Any] | None = None,
) -> PackedEHR:
    """Read one EHR and pack each of its patient's instructions.

    Args:
        path: the EHR.
        questions: the instructions.
        format: as for `ehr.ehr_text`.
        tokenizer: the name of one, as for `prompts.load_tokenizer`.
        context_length: in tokens; None keeps the whole EHR.
        count: whether to count all of the EHR's tokens, those that are dropped included. It takes
            longer than packing, since packing never tokenizes the whole EHR.
        strategy: a name in `strategies.STRATEGIES`.
        chat_template: as for `chat.load_chat`.
        options: of the strategy.

    Returns:
        The prompts and that count, None if it was not wanted.

    Raises:
        EHRError, ParamsError, PromptError: as `ehr.ehr_text`, `load_tokenizer`, `load_chat` and
            the strategy.
    """
    loaded, chat = _loaded(tokenizer, chat_template)
    text = ehr_text(path, format)
    total = count_tokens(text, loaded) if count else None
    pack = STRATEGIES[strategy]
    packed = [
        # Where words join over the template's edges the two counts may differ by one.
        one._replace(ehr_tokens_kept=total) if count and one.prompt.ehr == text else one
        for one in pack(questions, text, loaded, context_length, chat, **(options or {}))
    ]
    return PackedEHR(packed, total)


def pack_ehrs(
    ehrs: Iterable[tuple[Path, Sequence[str]]],
    format: str,
    tokenizer: str,
    context_length: int | None,
    *,
    workers: int = 1,
    count: bool = True,
    **how: Any,
) -> Iterator[PackedEHR]:
    """As `pack_ehr` for each of several EHRs, in their order.

    Args:
        ehrs: path and instructions of each.
        format: as for `pack_ehr`.
        tokenizer: as for `pack_ehr`.
        context_length: as for `pack_ehr`.
        workers: processes that read and pack; with 1 all is done in this one. A few EHRs per worker
            are packed ahead of the one that is yielded, no more, so that memory stays bounded.
        count: as for `pack_ehr`.
        how: strategy, chat_template and options, as for `pack_ehr`.

    Raises:
        EHRError, ParamsError, PromptError: as `pack_ehr`.
    """
    tasks = (
        (path, questions, format, tokenizer, context_length, count) for path, questions in ehrs
    )
    if workers == 1:
        for task in tasks:
            yield pack_ehr(*task, **how)
        return
    # spawn: a forked copy of a process that has loaded PyTorch or a tokenizer may hang.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        ahead = deque(pool.submit(pack_ehr, *task, **how) for task in islice(tasks, 2 * workers))
        while ahead:
            ready = ahead.popleft().result()
            ahead.extend(pool.submit(pack_ehr, *task, **how) for task in islice(tasks, 1))
            yield ready


@lru_cache(maxsize=1)
def _loaded(tokenizer: str, chat_template: str | bool | None) -> tuple[Tokenizer, Chat | None]:
    chat = load_chat(tokenizer, chat_template)
    return load_tokenizer(tokenizer, chat), chat
