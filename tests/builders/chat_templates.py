"""Chat templates of current kinds of models, shortened to what shapes prompts and responses."""

from typing import NamedTuple

from tests.builders.tiny_models import LLAMA_3_SPECIAL, LLAMA_3_TEMPLATE, byte_level_tokenizer


class Family(NamedTuple):
    special: list[str]
    template: str
    end: str  # of an assistant's turn
    written: str  # a response, without its end
    reasoning: str = ""
    answer: str = "It was 1.4."
    cut: str | None = None  # a response that ends inside its reasoning


QWEN_3 = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% endif %}{% endif %}"
)
DEEPSEEK_R1 = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}<｜User｜>{{ m.content }}"
    "{% else %}<｜Assistant｜>{{ m.content.split('</think>')[-1] }}<｜end▁of▁sentence｜>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<｜Assistant｜><think>\n{% endif %}"
)
GPT_OSS = (
    "<|start|>system<|message|>Current date: {{ strftime_now('%Y-%m-%d') }}<|end|>"
    "{% for m in messages %}{% if m.role == 'user' %}<|start|>user<|message|>{{ m.content }}<|end|>"
    "{% else %}<|start|>assistant<|channel|>final<|message|>{{ m.content }}<|return|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
MAGISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST]{{ m.content }}[/INST]"
    "{% else %}{{ m.content }}</s>{% endif %}{% endfor %}"
)
GEMMA_3 = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>"
    "{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
THINKING = "The note\nof 2014 says 1.4."
FAMILIES = {
    "llama 3": Family(LLAMA_3_SPECIAL, LLAMA_3_TEMPLATE, "<|eot_id|>", "It was 1.4."),
    "gemma 3": Family(
        ["<bos>", "<start_of_turn>", "<end_of_turn>"], GEMMA_3, "<end_of_turn>", "It was 1.4."
    ),
    "qwen 3": Family(
        ["<|im_start|>", "<|im_end|>"], QWEN_3, "<|im_end|>",
        f"<think>\n{THINKING}\n</think>\n\nIt was 1.4.", THINKING,
        cut=f"<think>\n{THINKING}",
    ),
    "deepseek r1": Family(
        ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"],
        DEEPSEEK_R1, "<｜end▁of▁sentence｜>",
        f"{THINKING}\n</think>\n\nIt was 1.4.", THINKING,
        cut=THINKING,
    ),
    "gpt-oss": Family(
        ["<|start|>", "<|message|>", "<|channel|>", "<|end|>", "<|return|>"], GPT_OSS, "<|return|>",
        f"<|channel|>analysis<|message|>{THINKING}<|end|><|start|>assistant"
        "<|channel|>final<|message|>It was 1.4.",
        THINKING,
        cut=f"<|channel|>analysis<|message|>{THINKING}",
    ),
    "magistral": Family(
        ["<s>", "</s>", "[INST]", "[/INST]", "[THINK]", "[/THINK]"], MAGISTRAL, "</s>",
        f"[THINK]{THINKING}[/THINK]It was 1.4.", THINKING,
        cut=f"[THINK]{THINKING}",
    ),
}  # fmt: skip


def write_family(folder, name):
    """Write a tokenizer with a family's special tokens and chat template."""
    family = FAMILIES[name]
    tokenizer = byte_level_tokenizer(family.special, chat=family.template)
    tokenizer.save_pretrained(folder)
    return str(folder)
