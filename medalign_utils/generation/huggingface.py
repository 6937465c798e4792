"""Language models that run on this machine, through transformers."""

import functools
import gc
import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import PositiveInt

from medalign_utils.errors import ParamsError
from medalign_utils.generation.base import Failure, Generation, Generator, Sampling
from medalign_utils.generation.pretrained import find_device, is_out_of_memory, load_network
from medalign_utils.generation.reasoning import Pattern, split, to_generation
from medalign_utils.hub import quiet
from medalign_utils.prompts.templates import RESPONSE_TOKENS, Prompt
from medalign_utils.prompts.tokenizers import PromptTokenizer, load_tokenizer

if TYPE_CHECKING:
    import torch

# With a smaller difference in logits, the batch size may decide which of two tokens is chosen.
NEAR_TIE = 1e-4

# The only generation settings of a model that are used: penalties and bans would change the most
# probable tokens, and a forced end would hide that the limit cut the answer.
_TOKEN_SETTINGS = (
    "bos_token_id eos_token_id pad_token_id decoder_start_token_id forced_bos_token_id"
).split()
logger = logging.getLogger(__name__)


def huggingface(
    tokenizer: PromptTokenizer | str,
    *,
    model: str,
    context_length: int | None = None,
    reasoning: Pattern = "auto",
    device: str | None = None,
    dtype: Literal["float32", "bfloat16", "float16"] | None = None,
    batch_size: PositiveInt = 8,
    max_new_tokens: PositiveInt = RESPONSE_TOKENS,
    generation: Sampling | None = None,
    trust_remote_code: bool = False,
) -> Generator:
    """Return a generator that answers with a causal language model or encoder-decoder.

    The model is loaded at the first prompt. Decoding is greedy unless `generation` sets sampling; a
    sample depends only on seed and prompt. The model's own generation settings are ignored, except
    for its special tokens. A response also ends at the token that ends an assistant's turn in the
    chat template. `tokens` includes the end token, as servers count.

    If memory runs out, the batch size is halved for the rest of the run. A prompt is a `Failure` if
    it does not fit alone, if with its response it exceeds the model's positions, or if it raises
    another error.

    In float32, the batch size changes an answer only if two tokens are almost equally probable;
    each such answer is logged. In 16 bits it may change any answer.

    `model` is a folder, a repository on Hugging Face or a GGUF file; `tokenizer` may be a name
    instead; for `reasoning` see `reasoning.split`. `device` is PyTorch's name, such as "cuda:1", by
    default a GPU if there is one. `dtype` is by default bfloat16 on a GPU that has it, float16 on
    another, float32 on the CPU. Code that comes with a model is run only with `trust_remote_code`.

    Raises:
        ParamsError: (at the first prompt) the model or device does not exist, weights are missing,
            the model has fewer positions than `context_length`, or the tokenizer belongs to another
            model.
    """
    if isinstance(tokenizer, str):
        tokenizer = load_tokenizer(tokenizer, trust_remote_code=trust_remote_code)
    load = functools.cache(
        lambda: _Model(
            model,
            tokenizer,
            reasoning,
            device,
            dtype,
            max_new_tokens,
            generation,
            context_length,
            trust_remote_code,
        )
    )
    at_once, alone = batch_size, 0

    def answer(prompts: Sequence[Prompt]) -> list[Generation | Failure]:
        nonlocal at_once, alone
        loaded = load()
        ids = [tokenizer.prompt_ids(prompt.text) for prompt in prompts]
        outcomes = [loaded.check(prompt) for prompt in ids]
        waiting = [place for place, failure in enumerate(outcomes) if failure is None]
        while waiting:
            batch = waiting[: 1 if alone else at_once]
            answered = loaded.answer([prompts[i] for i in batch], [ids[i] for i in batch])
            if answered is None and len(batch) > 1:
                at_once = len(batch) // 2
                logger.warning("out of memory; from here on %d prompts at a time", at_once)
                continue
            if isinstance(answered, Failure) and len(batch) > 1:
                alone = len(batch)  # the next prompts one by one, to find the one that fails
                continue
            alone = max(alone - 1, 0)
            if answered is None:
                n = len(ids[batch[0]])
                reason = f"out of memory with this prompt alone ({n} tokens)"
                answered = Failure(reason, "permanent")
            if isinstance(answered, Failure):
                answered = [answered]
            for place, outcome in zip(batch, answered, strict=True):
                outcomes[place] = outcome
            del waiting[: len(batch)]
        return outcomes

    return Generator(answer, batch_size)


class _Model:
    """A model on its device."""

    def __init__(
        self,
        name: str,
        tokenizer: PromptTokenizer,
        reasoning: str,
        device: str | None,
        dtype: str | None,
        max_new_tokens: int,
        sampling: Sampling | None,
        context_length: int | None,
        trust_remote_code: bool,
    ) -> None:
        import torch
        import transformers

        self._max_new_tokens, self._sampling = max_new_tokens, sampling or {"temperature": 0}
        transformers.set_seed(self._sampling.get("seed", 0))
        self._tokenizer, self._reasoning = tokenizer, reasoning
        self._device, usual = find_device(device)
        kind = self._device.type
        self._device_name = torch.cuda.get_device_name(self._device) if kind == "cuda" else kind
        self._dtype = dtype or usual
        self._network = load_network(name, self._device, self._dtype, trust_remote_code)
        config: Any = self._network.config.get_text_config()
        self._is_causal = not config.is_encoder_decoder
        names = ("max_encoder_position_embeddings", "max_position_embeddings", "max_seq_len")
        self._positions = next(filter(None, (getattr(config, n, None) for n in names)), None)
        if self._positions is not None and (context_length or 0) > self._positions:
            raise ParamsError(
                f"huggingface: {name!r} has {self._positions} positions, fewer than the system's "
                f"context_length of {context_length}"
            )
        own = self._network.generation_config
        tokens = {setting: getattr(own, setting, None) for setting in _TOKEN_SETTINGS}
        # Not all models list the token that ends their turn in the chat template.
        turn_ends = tokenizer.chat.end_ids if tokenizer.chat else ()
        self._ends = {*turn_ends, *np.atleast_1d(tokens["eos_token_id"]).tolist()} - {None}
        tokens["eos_token_id"] = sorted(self._ends) or None
        if tokens["pad_token_id"] is None or tokens["pad_token_id"] < 0:
            # Any token: the attention mask hides padding.
            tokens["pad_token_id"] = min(self._ends, default=0)
        # Replaced, since settings given to `generate` are completed from the model's own.
        self._network.generation_config = transformers.GenerationConfig(
            do_sample=False, num_beams=1, max_new_tokens=max_new_tokens, **tokens
        )

    def check(self, ids: list[int]) -> Failure | None:
        """Say whether a prompt exceeds the model's positions; its tokens must be the model's."""
        known = self._network.get_input_embeddings().num_embeddings
        if ids and max(ids) >= known:
            raise ParamsError(
                f"huggingface: the system's tokenizer is another model's: it gives the token "
                f"{max(ids)}, and the model has {known}"
            )
        response = self._max_new_tokens if self._is_causal else 0
        if self._positions is None or len(ids) + response <= self._positions:
            return None
        also = f" and the response up to {response}" if response else ""
        return Failure(
            f"the prompt takes {len(ids)} tokens{also}, but the model has {self._positions} "
            "positions",
            "permanent",
        )

    def answer(
        self, prompts: Sequence[Prompt], prompt_ids: Sequence[list[int]]
    ) -> list[Generation | Failure] | Failure | None:
        """Return a batch's outcomes, or why it failed as a whole; None if memory ran out."""
        import torch

        pad = functools.partial(
            torch.nn.utils.rnn.pad_sequence,
            batch_first=True,
            padding_side="left" if self._is_causal else "right",
        )
        rows = [torch.tensor(ids) for ids in prompt_ids]
        ids = pad(rows, padding_value=self._network.generation_config.pad_token_id)
        mask = pad([torch.ones_like(row) for row in rows])
        gaps: list[torch.Tensor] = []

        def keep_gaps(_: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            best = scores.topk(2).values
            gaps.append(best[:, 0] - best[:, 1])
            return scores

        output = failure = None
        try:
            with quiet(), torch.inference_mode():
                output = self._network.generate(
                    input_ids=ids.to(self._device),
                    attention_mask=mask.to(self._device),
                    logits_processor=[*self._warpers(prompts), keep_gaps],
                )
        except RuntimeError as error:  # torch.OutOfMemoryError is one
            if not is_out_of_memory(error):
                failure = _failure(error)
        if failure is not None:
            return failure
        if output is None:
            # Past the except clause nothing holds the failed call's tensors any more.
            gc.collect()
            torch.cuda.empty_cache()
            return None
        new = output[:, ids.shape[1] if self._is_causal else 1 :].tolist()
        rows_of_gaps = torch.stack(gaps, 1).tolist()
        return [self._outcome(*row) for row in zip(prompts, new, rows_of_gaps, strict=True)]

    def _warpers(self, prompts: Sequence[Prompt]) -> list[Callable[..., "torch.Tensor"]]:
        """Return what turns the most probable token into a sample (the Gumbel-max trick)."""
        import torch
        from transformers import generation as warpers

        how = self._sampling
        if how["temperature"] == 0:
            return []
        chosen = [warpers.TemperatureLogitsWarper(float(how["temperature"]))]
        for name, kind in (("top_k", "TopK"), ("top_p", "TopP"), ("min_p", "MinP")):
            if name in how:
                chosen.append(getattr(warpers, f"{kind}LogitsWarper")(how[name]))
        # A source of randomness per prompt makes a sample independent of its batch.
        texts = [f"{how.get('seed', 0)} {prompt.text}".encode() for prompt in prompts]
        seeds = [int.from_bytes(hashlib.sha256(text).digest()[:8]) >> 1 for text in texts]
        sources = [torch.Generator().manual_seed(seed) for seed in seeds]

        def perturb(_: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            noise = torch.empty(scores.shape)
            for row, source in zip(noise, sources, strict=True):
                row.exponential_(generator=source)
            return scores - noise.log().to(scores.device)

        return [*chosen, perturb]

    def _outcome(self, prompt: Prompt, ids: list[int], gaps: list[float]) -> Generation | Failure:
        """Return a response of new tokens, by `gaps` more probable than the second best."""
        end = next((place for place, id in enumerate(ids) if id in self._ends), None)
        length = len(ids) if end is None else end + 1
        if np.isnan(gaps[:length]).any():
            return Failure(
                f"the model's logits are not numbers in {self._dtype}; `dtype:` in the YAML names "
                "another",
                "permanent",
            )
        near = [place for place, gap in enumerate(gaps[:length], 1) if gap < NEAR_TIE]
        if near and self._dtype == "float32":
            logger.warning(
                "near tie: prompt %s, token %d of the response; "
                "it may change with the batch's size",
                hashlib.sha256(prompt.text.encode()).hexdigest()[:12],
                near[0],
            )
        # With special tokens, which mark the reasoning of some models.
        tokenizer = self._tokenizer
        text = tokenizer.backend.decode(ids[:end], skip_special_tokens=False)
        parts = split(text, self._reasoning, tokenizer.response_prefix)
        if parts.answer == text:
            answer = tokenizer.backend.decode(ids[:end], skip_special_tokens=True)
        else:
            answer = tokenizer.without_special(parts.answer)
        finish_reason = "length" if end is None else "stop"
        generation = to_generation(
            parts._replace(answer=answer), finish_reason, length, tokenizer=tokenizer
        )
        return generation._replace(device=self._device_name)


def _failure(error: RuntimeError) -> Failure:
    """Return a failure with the error's class only, since its message may quote a prompt."""
    import torch

    # After an error of the accelerator every further call fails too.
    is_broken = isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error)
    reason = f"the model failed on the prompt ({type(error).__name__})"
    return Failure(reason, "systemic" if is_broken else "permanent")
