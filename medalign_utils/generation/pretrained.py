"""Load a language model through transformers onto the best device of this machine."""

from typing import TYPE_CHECKING

from medalign_utils.errors import ParamsError
from medalign_utils.hub import RemoteCodeError, in_one_line, loading, quiet
from medalign_utils.prompts.gguf import pretrained_arguments

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

# The plain RuntimeErrors of allocators other than CUDA's.
_OUT_OF_MEMORY = ("DefaultCPUAllocator", "MPS backend out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


def find_device(name: str | None) -> tuple["torch.device", str]:
    """Return a device, by default the best one here, and its usual dtype."""
    import torch

    if name is None:
        gpu = torch.cuda.is_available()
        name = "cuda" if gpu else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # PyTorch asserts that it was built for CUDA
        raise ParamsError(f"huggingface: no device {name!r} here ({in_one_line(error)})") from None
    if device.type == "cpu":
        return device, "float32"
    supported = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return device, "bfloat16" if supported else "float16"


def load_network(
    name: str, device: "torch.device", dtype: str, trust_remote_code: bool
) -> "PreTrainedModel":
    """Return a whole language model on a device, from a folder, a GGUF file or the hub.

    Raises:
        ParamsError: it cannot be loaded, lacks weights, would run code, or does not fit.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    try:
        with quiet(), loading(name, trust_remote_code=trust_remote_code):
            arguments = pretrained_arguments(name) | {"trust_remote_code": trust_remote_code}
            config = AutoConfig.from_pretrained(**arguments)
            kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
            network, report = kind.from_pretrained(
                **arguments,
                config=config,
                dtype=getattr(torch, dtype),
                output_loading_info=True,
            )
            network = network.to(device).eval()
    except RemoteCodeError as error:
        raise ParamsError(f"huggingface: {error}") from None
    except Exception as error:  # the library raises many kinds
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise ParamsError(
                f"huggingface: the model {name!r} does not fit into the memory of {device} in "
                f"{dtype}; `device:` and `dtype:` in the YAML name others"
            ) from None
        raise ParamsError(
            f"huggingface: {name!r} is neither a folder with a language model nor a repository "
            f"that can be loaded from here; for a gated one accept its terms and run "
            f"`huggingface-cli login` ({in_one_line(error)})"
        ) from None
    if missing := sorted(report["missing_keys"]):
        # They would be drawn at random, and the answers with them.
        raise ParamsError(
            f"huggingface: {name!r} is not a whole language model: it lacks {missing[0]}"
            + (f" and {len(missing) - 1} more weights" if missing[1:] else "")
        )
    return network


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether an error says that an allocator has no memory left."""
    import torch

    is_known = any(message in str(error) for message in _OUT_OF_MEMORY)
    return is_known or isinstance(error, torch.OutOfMemoryError)
