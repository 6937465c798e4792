"""Numbers in the documentation's prose agree with the tables that it names."""

import pandas as pd

from tests.builders.project import ROOT


def text_of(page: str) -> str:
    return " ".join((ROOT / page).read_text("utf-8").split())


def table_of(name: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / name)


def percent(shares: pd.Series) -> str:
    """Return the range of shares in words: 0.924 to 0.972 is "92 to 97 %"."""
    return f"{100 * shares.min():.0f} to {100 * shares.max():.0f} %"


def test_coverage_of_intervals():
    table = table_of("benchmarks/coverage.csv")
    is_wilson = table["statistic"] == "wilson"
    by_patient = table[~is_wilson].set_index("patients")["coverage"]
    page = text_of("docs/metrics_and_statistics.md")
    assert f"{percent(by_patient[100])} of 500 data sets with 100 patients" in page
    assert f"{percent(by_patient[24])} with 24 patients" in page
    assert f"{percent(by_patient[5])} with 5 patients" in page
    assert f"in only {percent(table['coverage'][is_wilson])}" in page


def test_power_of_the_audit():
    table = table_of("benchmarks/fairness_power.csv")
    table = table[(table["accuracy"] == 0.65) & (table["correlation"] == 0.1)]
    found = table.set_index("size")["share"]
    page = text_of("docs/metrics_and_statistics.md")
    for size, group in ((138, "half of the patients"), (69, "a quarter"), (20, "20 patients")):
        assert f"| {group} | {100 * found[size]:.0f} %" in page
    [alarm] = (
        100
        * table.loc[
            table["outcome"] == "false alarm", ["share", "share_low", "share_high"]
        ].to_numpy()
    )
    assert "{:.1f} % ({:.1f} to {:.1f})".format(*alarm) in page


def test_cost_of_context_over_many_releases():
    table = table_of("benchmarks/context_cost.csv")
    page = text_of("docs/results.md")
    lost = -100 * table.filter(like=" - bm25-full").mean()
    excluded = (table.filter(like=" high") < 0).sum()
    short, longer = "bm25-2k", "bm25-8k"
    assert (
        f"{lost[f'{short} - bm25-full']:.1f} points on average with 2,048 tokens (the interval "
        f"excluded 0 in {excluded[f'{short} high']} of {len(table)} releases) and "
        f"{lost[f'{longer} - bm25-full']:.1f} points with 8,192 tokens "
        f"(in {excluded[f'{longer} high']} of {len(table)})"
    ) in page


def test_held_out_results_of_comet_compact():
    page = text_of("models/comet-compact/README.md")
    for row in table_of("models/comet-compact/held_out.csv").itertuples():
        tau = f"{row.mean_tau:.3f} ({row.mean_tau_low:.3f} to {row.mean_tau_high:.3f})"
        assert f"| {tau} |" in page


def test_measured_costs():
    page = text_of("docs/scaling.md")
    steps = table_of("benchmarks/scaling.csv").set_index(["grows", "step", "factor"])
    for name in (("EHR", "read", 1), ("EHR", "pack", 1), ("instructions", "evaluate", 1),
                 ("instructions", "correlate", 1), ("instructions", "generate", 16)):  # fmt: skip
        step = steps.loc[name]
        seconds = step["seconds"] / (step["instructions"] if "generate" in name else 1)
        assert f"| {seconds:.2f} | {step['peak_mb']:.0f} " in page
    for row in table_of("benchmarks/scaling-metrics.csv").itertuples():
        assert f"| {row.ms_a_response:.2g} | {row.loading_s:.1f} | {row.peak_mb:.0f} |" in page
    for row in table_of("benchmarks/gpu_throughput.csv").itertuples():
        cells = f"{row.prompt_tokens:,} | {row.batch_size} | {row.seconds_a_prompt:.1f}"
        assert f"| {cells} | {row.peak_gb:.1f} |" in page


def test_figures_of_the_paper():
    facts = table_of("data/paper/facts.csv").set_index("fact")["value"]
    systems = table_of("data/paper/table_human_evaluation.csv").set_index("system")["correct"]
    card = text_of("docs/card.md")
    submitted, kept = facts["instructions submitted"], facts.filter(like="dedup").item()
    assert f"{kept:.0f} instructions after deduplication of {submitted:,.0f} submitted" in card
    for page in (card, text_of("README.md")):
        for fact in (
            kept,
            facts.filter(like="reference").item(),
            facts.filter(like="(paper)").item(),
        ):
            assert f"{fact:.0f} " in page
    for text, system in (
        ("with multi-step refinement answered", "GPT-4 (MR)"),
        ("with 32,768 tokens of context", "GPT-4 (32k)"),
        ("and MPT-7B-Instruct", "MPT-7B-Instruct"),
    ):
        assert f"{text} {100 * systems[system]:.1f} %" in card


def test_error_rates_of_the_grader():
    every = table_of("benchmarks/grader.csv").iloc[0]
    lost, passed = (
        f"{100 * every[misses] / every[n]:.1f} %"
        for misses, n in (("lost", "n_right"), ("passed", "n_wrong"))
    )
    assert f"lose {lost} of right answers and pass {passed} of wrong ones" in text_of("README.md")
