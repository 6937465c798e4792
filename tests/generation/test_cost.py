import dataclasses
import math

import pytest

from medalign_utils.__main__ import main
from medalign_utils.data.release import load_release
from medalign_utils.generation.base import Generation, Generator
from medalign_utils.generation.cost import plan_experiment, plan_system
from medalign_utils.generation.registry import GENERATORS
from medalign_utils.generation.runner import run_system
from medalign_utils.prompts.templates import RESPONSE_TOKENS
from medalign_utils.prompts.tokenizers import load_tokenizer
from tests.builders.project import write_experiment, write_system
from tests.builders.tiny_release import write_release

SYSTEM = {
    "system": "echo",
    "generator": "echo",
    "context_length": 256 + 90,
    "format": "lines",
    "tokenizer": "minilm",
}


@pytest.fixture
def release(tmp_path):
    return load_release(write_release(tmp_path / "release"))


@pytest.fixture
def asked(monkeypatch):
    """Record the prompts of a generator that answers at the maximum length."""
    asked = []

    def factory(*, concurrency=1):
        def answer(prompts):
            asked.extend(prompt.text for prompt in prompts)
            return [Generation("word " * RESPONSE_TOKENS, "length", RESPONSE_TOKENS)]

        return Generator(answer, concurrency=concurrency)

    monkeypatch.setitem(GENERATORS, "echo", factory)
    return asked


def test_a_plan_counts_the_length_that_a_response_may_have(release):
    served = SYSTEM | {"generator": "openai", "model": "m", "base_url": "http://127.0.0.1:1/v1"}
    served |= {"context_length": 12000, "price_per_million": {"input": 0, "output": 10}}
    for how in ({"max_new_tokens": 8192}, {"request": {"max_completion_tokens": 8192}}):
        plan = plan_system(release, served | how, "none")
        assert (plan["prompts"], plan["response_tokens"]) == (3, 3 * 8192)
        assert plan["cost"] == pytest.approx(3 * 8192 * 10 / 1e6)


@pytest.mark.parametrize(
    "how",
    [
        {"strategy": "truncate"},
        {"strategy": "truncate", "context_length": None},
        {"strategy": "retrieve"},
        {"strategy": "refine", "context_length": 700},
    ],
)
def test_a_plan_counts_what_a_run_asks(release, asked, tmp_path, how):
    plan = plan_system(release, SYSTEM | how, "none")
    assert asked == []
    responses = run_system(release, SYSTEM | how, tmp_path / "echo.jsonl", progress=False)
    tokens = [len(load_tokenizer("minilm").prompt_ids(text)) for text in asked]
    assert plan["prompts"] == len(asked) == responses["n_prompts"].sum()
    assert plan["response_tokens"] == len(asked) * RESPONSE_TOKENS
    assert responses["input_tokens"].sum() == sum(tokens)
    assert responses["output_tokens"].sum() == len(asked) * RESPONSE_TOKENS
    # An answer to refine is counted at its limit; [CLS] and [SEP] are in every prompt.
    assert plan["prompt_tokens"] == pytest.approx(sum(tokens), abs=2 * len(tokens))
    share = responses["ehr_tokens_kept"] / responses["ehr_tokens_total"]
    assert plan["kept_median"] == pytest.approx(share.median())
    assert plan["whole"] == (share == 1).mean()
    assert math.isnan(plan["cost"]) and math.isnan(plan["hours"]) and plan["problem"] == ""


def test_time_and_cost_follow_the_systems_figures_or_earlier_responses(
    release, asked, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    rates = {
        "price_per_million": {"input": 60, "output": 120},
        "tokens_per_second": {"input": 1000, "output": 50},
    }
    plan = plan_system(release, SYSTEM | rates, "mine")
    n, m = plan["prompt_tokens"], plan["response_tokens"]
    assert plan["cost"] == pytest.approx((60 * n + 120 * m) / 1e6)
    assert plan["hours"] == pytest.approx((n / 1000 + m / 50) / 3600)
    path = tmp_path / "runs/mine/responses/echo.jsonl"
    seconds = run_system(release, SYSTEM, path, progress=False)["seconds"].sum()
    plan = plan_system(release, SYSTEM | {"concurrency": 2}, "mine")
    assert plan["hours"] == pytest.approx(seconds / 2 / 3600)


def test_the_command_says_what_is_planned_and_what_is_wrong(project, monkeypatch, capsys):
    write_release(project / "data/real")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    changes = dict.fromkeys(("synthetic_patients", "synthetic_instructions", "synthetic_seed"))
    changes |= {"counterfactual_systems": [], "metrics": ["chrf"]}
    write_experiment("mine", **changes, release="data/real")
    assert main(["plan", "params/mine.yaml"]) == 0
    shown = capsys.readouterr().out
    assert "bm25-2k" in shown and "not known" in shown and shown.endswith("Nothing was sent.\n")

    server = {"generator": "openai", "model": "m", "base_url": "https://models.example.org/v1"}
    write_system("away", **server)
    here = {"base_url": "http://127.0.0.1:1/v1"}
    write_system("unknown", **server | here, tokenizer="no/such")
    write_experiment("mine", **changes, release="data/real", systems=["away", "unknown"])
    assert main(["plan", "params/mine.yaml"]) == 1
    shown = capsys.readouterr().out
    assert "away: data/real is restricted" in shown.replace(f"{project}/", "")
    assert "unknown: load_tokenizer: no/such is not on this machine" in shown

    write_experiment("mine", **changes, release="data/none")
    assert main(["plan", "params/mine.yaml"]) == 2
    assert "no folder" in capsys.readouterr().err


def test_a_plan_of_a_release_without_references_says_so(release):
    bare = dataclasses.replace(release, references=release.references.iloc[:0])
    [row] = plan_experiment(bare, [SYSTEM], "none").to_dict("records")
    assert "no instruction has a reference; `only_with_reference: false` asks" in row["problem"]


@pytest.mark.filterwarnings("always")
def test_a_plan_prints_the_sentence_of_a_warning_without_its_source_line(project, capsys):
    write_release(project / "data/real")
    changes = dict.fromkeys(("synthetic_patients", "synthetic_instructions", "synthetic_seed"))
    changes |= {"counterfactual_systems": [], "metrics": ["chrf"], "systems": ["bm25-2k"]}
    changes |= {"limit": 2, "only_with_reference": False}
    write_experiment("mine", **changes, release="data/real")
    assert main(["plan", "params/mine.yaml"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert "mine@2: limited to 2 of 3 instructions" in said
    assert not [line for line in said if ".py" in line or "warn(" in line]
