"""Language models that run on this machine, through transformers."""

from medalign_utils.generators.generation import Generator


def huggingface(
    *,
    model: str,
    tokenizer: str,
    chat_template: str | bool | None = None,
    device: str | None = None,
    dtype: str | None = None,
    batch_size: int = 8,
    seed: int = 0,
) -> Generator:
    """To be written."""
    raise NotImplementedError
