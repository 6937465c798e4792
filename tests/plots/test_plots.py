import io

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.text import Text

from medalign_utils import plots
from medalign_utils.errors import MedAlignError
from medalign_utils.plots import style
from medalign_utils.plots.cost import _apart as apart
from medalign_utils.reporting.results_table import formatted
from medalign_utils.stats.bootstrap import Interval

LONG = "a-generator-with-a-very-long-name-32k"


def with_intervals(table, **estimates):
    table = pd.DataFrame(table).assign(**estimates)
    for name in estimates:
        table[f"{name}_low"], table[f"{name}_high"] = table[name] - 0.1, table[name] + 0.1
    return table


SYSTEMS = with_intervals({"system": [LONG, "b"], "n": 72}, correct=[0.2, 0.4])
COSTS = SYSTEMS.assign(
    tokens_per_response=[1800.0, 1801.0], dollars_per_response=np.nan, on_front=[False, True]
)
CONTEXTS = with_intervals(
    {"context_tokens": pd.array([2048, 8192, None], "Int64"), "n": 72},
    correct=[0.2, 0.3, 0.4],
    difference=[-0.2, -0.1, np.nan],
)
METRICS = with_intervals(
    {"metric": ["comet-compact", "rouge_l"], "n": [70, 68], "n_undefined": [2, 4]},
    mean_tau=[0.4, 0.1],
)
LENS = pd.DataFrame({"metric": ["lens"], "n": 0, "n_undefined": 0, "not_scored": "no weights"})
SKIPPED = pd.concat([METRICS.assign(not_scored=""), LENS], ignore_index=True)
METRIC_PAIRS = pd.DataFrame(
    [
        (f"metric-{i:02}", f"metric-{j:02}", 40, 0.07 * (j - i) - 0.1, 0.01 * (10 - j + i))
        for i in range(13)
        for j in range(i + 1, 13)
    ],
    columns=["metric_a", "metric_b", "n", "difference", "p_holm"],
)
CATEGORIES = pd.DataFrame(
    {"category": ["Other", "Retrieve & Summarize"], "with_reference": [4, 20], "all": [8, 60]}
)
PUBLISHED = CATEGORIES.assign(published_with_reference=[41, 223], published_all=[75, 667])
DEDUPLICATION = pd.DataFrame(
    {"threshold": [0.6, 0.7, 0.8], "submitted": 1314, "duplicates": 765,
     "dropped": [1000, 900, 700], "precision": [0.4, 0.5, 0.6], "recall": [0.5, 0.6, 0.55]}
)  # fmt: skip
RECALL = with_intervals(
    {"k": [1, 5, 20], "n": 411, "pool": 276, "random": [1 / 276, 5 / 276, 20 / 276]},
    recall=[0.1, 0.2, 0.5],
)
YEARS = pd.DataFrame({"year": range(1996, 2020), "events": [4000 * i for i in range(24)]})
NOTES = ["Progress note", *(f"A note that costs ${i}" for i in range(14))]
NOTE_TYPES = pd.DataFrame({"note": NOTES, "notes": [46252, *range(14, 0, -1)], "patients": 276})
HUMAN = pd.DataFrame(
    {"system": ["GPT-4 (32k)", LONG], "n": 303, "correct": [0.601, 0.65],
     "win_rate": [0.676, 0.658], "mean_rank": [2.75, 2.8]}
)  # fmt: skip
TRANSCRIBED = pd.DataFrame(
    {"metric": ["chrF", "Inter-rater reliability (clinicians)"],
     "mean_kendall_tau": [0.2, 0.4], "ci_low": [0.1, 0.3], "ci_high": [0.3, 0.5]}
)  # fmt: skip
MATRIX = pd.DataFrame([[np.nan, 0.7], [0.3, np.nan]], index=["a", "b"], columns=["a", "b"])
PAIRS = with_intervals(
    {"system": [LONG, "b"], "opponent": ["b", "c"], "n": 72,
     "mcnemar_p_holm": [0.0001, 0.04], "sign_flip_p_holm": [0.0002, 0.05]},
    difference=[0.2, -0.1],
)  # fmt: skip
GROUPS = with_intervals(
    {"grouping": ["category"] * 10 + ["EHR length quartile"] * 2,
     "group": [*(f"Kind {i // 2} of $" for i in range(10)), *["1: up to 900 tokens"] * 2],
     "system": [LONG, "b"] * 6, "n": [40] * 10 + [1] * 2, "n_patients": [9] * 10 + [1] * 2},
    correct=[0.2, 0.4] * 5 + [0.0, 1.0],
)  # fmt: skip
GAPS = pd.DataFrame(
    [
        (LONG, "gender", "Female", 90, 0.1, 0.01, ""),
        (LONG, "gender", "Male", 80, -0.1, 0.01, ""),
        ("b", "gender", "Female", 90, 0.02, 0.4, ""),
        ("b", "gender", "Male", 80, np.nan, np.nan, ""),
        ("b", "race", "Black or African American + (others)", 23, -0.25, 0.06, "merged"),
        (None, "payer", "(not shown)", 170, np.nan, np.nan, "not shown: no two groups"),
    ],
    columns=["system", "grouping", "group", "n_patients", "gap", "p_holm", "suppressed"],
)
GAPS = with_intervals(GAPS, gap=GAPS["gap"], adjusted_gap=0.03)
GAPS["n_instructions"] = GAPS["n_patients"] + 10
NO_GROUPS = GAPS[GAPS["group"] == "(not shown)"]
LENGTHS = GAPS[2:].assign(events=4000.0, events_low=3000.0, events_high=5500.0)
SIMULATION = with_intervals(
    {"size": pd.array([None, 138, 30], "Int64"), "gap": [0, 0.2, 0.2], "audits": [300, 120, 120],
     "n_patients": [184.3, 92.2, 19.1], "n_instructions": [303, 152.4, 31.6]},
    share=[0.04, 0.6, 0.1],
)  # fmt: skip
PROMPTS = with_intervals(
    {"group": ["in the prompt", "in the prompt", "not in the prompt"], "system": [LONG, "b", "b"],
     "n": [72, 40, 32]},
    correct=[0.3, 0.4, 0.1],
)  # fmt: skip
TOKENS = with_intervals(
    {"system": ["b", "b", "$ its own $", LONG], "tokens": [900, 90_000, 1_800, 1_800],
     "n": [40, 32, 72, 72]},
    correct=[0.3, 0.5, 0.2, 0.1],
)  # fmt: skip
OUTCOMES = with_intervals(
    {"system": [LONG, "b"], "n": 72}, correct=[0.3, 0.4], contradicted=[0.2, 0.1], omission=0.5
)
# Name of the function (and case) -> its arguments.
CASES = {
    "gaps_by_group": ([GAPS[2:]], {}),
    "gap_matrix": ([GAPS, "system"], {}),
    "lengths_by_group": ([LENGTHS], {}),
    "audit_power": ([SIMULATION], {}),
    "accuracy_by_system": ([SYSTEMS], {}),
    "accuracy_by_cost": ([COSTS], {}),
    "head_to_head": ([MATRIX], {"n": 72}),
    "accuracy_by_context": ([CONTEXTS], {}),
    "accuracy_by_prompt": ([PROMPTS], {}),
    "accuracy_by_tokens": ([TOKENS], {}),
    "paired_differences": ([PAIRS], {}),
    "metric_correlation": ([METRICS], {}),
    "metric_correlation, ceiling": ([SKIPPED], {"ceiling": Interval(0.65, 0.55, 0.74)}),
    "metric_differences": ([METRIC_PAIRS], {}),
    "human_evaluation": ([HUMAN], {}),
    "published_correlation": ([TRANSCRIBED], {}),
    "ehr_lengths": ([[3000, 9000, 70000]], {"contexts": [8192]}),
    "instructions_by": ([CATEGORIES, "category"], {}),
    "instructions_by, published": ([PUBLISHED, "category"], {}),
    "deduplication": ([DEDUPLICATION], {"threshold": 0.7}),
    "match_recall": ([RECALL], {}),
    "event_years": ([YEARS], {}),
    "note_types": ([NOTE_TYPES], {}),
}


def draw(name, ax=None):
    arguments, options = CASES[name]
    return getattr(plots, name.split(",")[0])(*arguments, ax=ax, **options)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def names_of(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def texts(ax):
    found = [text.get_text() for text in ax.texts]
    found += [label.get_text() for label in ax.get_xticklabels()]
    return [*found, *names_of(ax), ax.get_xlabel(), ax.get_ylabel()]


def assert_inside(ax):
    box, inside = ax.figure.bbox, ax.get_tightbbox()
    assert box.x0 <= inside.x0 and inside.x1 <= box.x1
    assert box.y0 <= inside.y0 and inside.y1 <= box.y1


@pytest.mark.parametrize("name", CASES)
def test_text_is_inside_the_picture_and_settings_are_restored(name):
    before = dict(mpl.rcParams)
    ax = draw(name)
    is_wide = name in ("gap_matrix", "accuracy_by_cost")
    assert ax.figure.get_size_inches()[0] == (style.PAGE_WIDTH if is_wide else style.COLUMN_WIDTH)
    ax.figure.canvas.draw()
    assert_inside(ax)
    _, given = plt.subplots(figsize=(7, 4))
    assert draw(name, given) is given
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("head_to_head", {"1", "2", "0.70", "0.30", "a  1", "b  2"}),
        ("metric_correlation", {"comet-compact", "ROUGE-L", "n", "70", "undefined", "2", "4"}),
        ("ehr_lengths", {"8,192:\n1 shorter"}),
        ("instructions_by", {"20 of 60", "4 of 8", "Instructions (n = 68,\n24 with a reference)"}),
        ("instructions_by, published", {"in the paper\n(n = 742)", "223 of 667", "41 of 75"}),
        ("match_recall", {"first record", "first 5 records", "50.0%", "7.2%"}),
        # 4000 x 23 x 24 / 2
        ("event_years", {"Calendar year (n = 1,104,000 events)"}),
        # 15 types: 12 are drawn, those with 3, 2 and 1 notes left out; 46,252 + 105 in all.
        ("note_types", {"Notes (n = 46,357; 3 more types\nwith 6 notes not drawn)", "46,252"}),
        ("deduplication",
         {"ROUGE-L threshold (n = 1,314 instructions,\n765 of them duplicates; dotted: 0.7)"}),
        ("gap_matrix", {"+10.0*", "−10.0*", "+2.0", "−25.0", "90", "100", "patients", "instr."}),
        ("audit_power", {"no gap: false alarm", "20-point gap for 92\npatients: found", "184"}),
        ("audit_power", {"20-point gap for 19\npatients: found", "120"}),
        ("lengths_by_group", {"3,000", "gender: Female", "23"}),
        ("published_correlation", {"0.40†", "0.20†"}),
        ("accuracy_by_prompt", {"n in", "72", "40", "n not in", "–", "32"}),
        ("accuracy_by_tokens",
         {"Tokens of the record in the prompts,\nmedian of each group of prompts\n"
          "(n = 32 to 72 instructions)", "1,000", "100,000"}),
        ("accuracy_by_context",
         {"2,048", "full record", "−20.0\n[−30.0, −10.0]", "−10.0\n[−20.0, +0.0]"}),
    ],
)  # fmt: skip
def test_figures_state(name, expected):
    assert expected <= set(texts(draw(name)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy_by_system", "n = 72 instructions"),
        ("ehr_lengths", "n = 3 EHRs, median 9,000"),
        ("match_recall", "n = 411, 276 records"),
        ("published_correlation", "† transcribed, not re-verified"),
        ("gap_matrix", f"1 {LONG}, 2 b"),
        ("gap_matrix", "small groups merged: race; not shown, too small: payer"),
        ("metric_correlation, ceiling", "a second rater's, 0.65 [0.55, 0.74] (no strict ceiling)"),
        ("metric_correlation, ceiling", "not scored: LENS"),
    ],
)
def test_labels_below_state(name, expected):
    assert expected in draw(name).get_xlabel().replace("\n", " ")


def test_accuracy_by_system_sorts_and_wraps_names():
    first, second = names_of(draw("accuracy_by_system"))
    assert first == "b" and second.replace("\n", "") == LONG and "\n" in second


def test_accuracy_by_context_rises_from_left_to_right():
    ax = draw("accuracy_by_context")
    assert ax.lines[0].get_xdata().tolist() == [0, 1, 2]
    assert ax.lines[0].get_ydata().tolist() == [0.2, 0.3, 0.4]
    assert "paired difference to the full record" in ax.get_xlabel()
    ax = plots.accuracy_by_context(CONTEXTS.assign(correct_high=np.nan, difference_low=np.nan)[:2])
    assert {"−20.0", "−10.0"} <= set(texts(ax)) and "to the longest context" in ax.get_xlabel()


def test_accuracy_by_cost_draws_the_front_and_names_points_apart():
    costs = with_intervals(
        {"system": list("abcde"), "n": 72, "dollars_per_response": np.nan,
         "tokens_per_response": [1800, 1801, 1802, 50_000, np.nan],
         "on_front": pd.array([True, False, False, True, None], "boolean")},
        correct=[0.3, 0.29, 0.28, 0.4, 0.9],
    )  # fmt: skip
    ax = plots.accuracy_by_cost(costs)
    ax.figure.canvas.draw()
    assert "Tokens read per response, log scale" in ax.get_xlabel()
    assert "not drawn, cost unknown: e" in ax.get_xlabel()
    x, y = ax.collections[-1].get_offsets().T
    assert y.tolist() == [0.3, 0.29, 0.28, 0.4]
    assert x[0] < x[1] < x[2] < 2500 and x[3] == pytest.approx(50_000)
    [front] = ax.lines
    assert front.get_ydata().tolist() == [0.3, 0.4, 0.4]
    assert front.get_drawstyle() == "steps-post"
    boxes = [Text.get_window_extent(text) for text in ax.texts]  # without their lines
    assert [text.get_text() for text in ax.texts] == list("abcd")
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    colors = [text.get_color() for text in ax.texts]
    assert colors[0] == colors[3] != colors[1] == colors[2]
    priced = costs.assign(dollars_per_response=[0.0, 0.1, 0.2, 0.3, 0.4], on_front=True)
    ax = plots.accuracy_by_cost(priced)
    assert ax.get_xlabel().startswith("US dollars per response (n") and ax.get_xscale() == "linear"


@pytest.mark.parametrize("n", [1, 5, 40])
def test_names_are_apart_and_in_order(n):
    heights = np.full(n, 0.97) - np.arange(n) * 1e-3
    places = apart(heights, 0.1)
    assert places.min() >= -1e-9 and places.max() <= 1 + 1e-9
    assert (-np.diff(places) >= min(0.1, 1 / max(n - 1, 1)) - 1e-9).all()


def test_names_with_room_stay_where_they_are():
    assert apart(np.array([0.5, 0.1, 0.9]), 0.1).tolist() == pytest.approx([0.5, 0.1, 0.9])


def test_paired_differences_fill_significant_markers():
    ax = draw("paired_differences")
    names = [name.splitlines() for name in names_of(ax)]
    assert names[0][-1] == "minus b" and names[1] == ["b", "minus c"]
    assert {"<0.001", "0.040", "0.050"} <= set(texts(ax))
    [hollow] = [line for line in ax.lines if line.get_markerfacecolor() == "white"]
    assert list(hollow.get_xdata()) == [-0.1]  # since p = 0.05 is not below 0.05


def test_counterfactual_changes_has_a_panel_per_measure_and_relevant_rows():
    table = pd.DataFrame(
        {"change": ["nothing", "age", "age"], "system": "a", "relevant": [False, False, True],
         "n": [80, 74, pd.NA], "n_patients": [24, 24, pd.NA]}
    )  # fmt: skip
    for i, measure in enumerate(("changed", "changed_beyond", "flipped", "lost", "gained")):
        table[measure] = [0, 0.1 + 0.1 * i, 0.5]  # no intervals, as with one patient
    figure = plots.counterfactual_changes(table)
    first, *others = figure.axes
    assert names_of(first) == ["a · nothing (control)", "a · age", "a · age, relevant"]
    assert not any("".join(names_of(ax)) for ax in others)
    points = [ax.lines[0].get_xdata().tolist() for ax in figure.axes]
    assert points == [[0, 0.1, 0.5], [0, 0.2, 0.5], [0, pytest.approx(0.3), 0.5]]
    assert [t.get_text() for t in others[-1].texts][1:] == [
        *("80 (24)", "74 (24)", "not shown", "lost", "0%", "40%", "50%"),
        *("gained", "0%", "50%", "50%"),
    ]
    assert len(plots.counterfactual_changes(table.assign(flipped=np.nan)).axes) == 2


def test_accuracy_by_group_has_a_panel_per_group_on_one_axis():
    figure = plots.accuracy_by_group(GROUPS)
    figure.canvas.draw()
    shown = [ax for ax in figure.axes if ax.get_visible()]
    titles = [ax.get_title().splitlines() for ax in shown]
    assert titles[0] == ["Kind 0 of $", "n = 40 (9 patients)"] and len(titles) == 6
    assert titles[5] == ["EHR length quartile 1:", "up to 900 tokens", "n = 1 (1 patient)"]
    assert {ax.get_xlim() for ax in shown} == {(0.0, 1.0)}
    for ax in shown:
        assert_inside(ax)
    # The fifth category is below the first; the quartiles start a new row.
    assert shown[4].get_position().x0 == shown[5].get_position().x0
    is_first = GROUPS["group"] == GROUPS["group"][0]
    hidden = GROUPS.assign(n=GROUPS["n"].astype("Int64").where(is_first))
    assert [bool(ax.get_title()) for ax in plots.accuracy_by_group(hidden).axes] == [True]


def test_accuracy_by_prompt_has_both_groups_in_a_system_s_row():
    ax = draw("accuracy_by_prompt")
    inside, outside = (line.get_xydata() for line in ax.get_lines()[:2])
    assert inside[:, 0].tolist() == [0.3, 0.4]
    assert np.isnan(outside[0, 0]) and outside[1, 0] == 0.1  # the first read whole records


def test_accuracy_by_tokens_joins_a_system_s_points_and_names_it():
    ax = draw("accuracy_by_tokens")
    assert [len(line.get_xdata()) for line in ax.get_lines()] == [2, 1, 1]
    x = [line.get_xdata()[0] for line in ax.get_lines()[1:]]
    assert x[0] != x[1] and max(x) < 2 * min(x)  # side by side
    [legend] = ax.figure.legends
    assert len(legend.get_texts()) == 3
    few = TOKENS.assign(correct_low=[np.nan, 0.1, 0.1, 0])
    assert "no interval: fewer than 5 patients" in plots.accuracy_by_tokens(few).get_xlabel()


def test_outcome_shares_has_three_panels_on_one_axis():
    figure = plots.outcome_shares(OUTCOMES)
    assert [ax.get_title().split(":")[0] for ax in figure.axes] == [
        "Correct",
        "Contradiction",
        "Omission",
    ]
    assert len({ax.get_xlim() for ax in figure.axes}) == 1
    assert names_of(figure.axes[0]) == [LONG, "b"]
    figure.canvas.draw()
    for ax in figure.axes:
        assert_inside(ax)


def test_human_evaluation_has_the_three_numbers_of_each_system_in_its_row():
    ax = draw("human_evaluation")
    rows = {text.get_text(): text.xy[1] for text in ax.texts}
    # 65.0 % is on top, regardless of the table's order.
    assert rows["65.0%"] == rows["0.658"] == rows["2.80"] == 0
    assert rows["60.1%"] == rows["0.676"] == rows["2.75"] == 1
    # The paper's table has no intervals, and the label mentions none.
    assert ax.get_xlabel() == "Correct responses\n(n = 303 instructions)"
    bounds = {"correct_low": 0.5, "correct_high": 0.7}
    assert "95% interval" in plots.human_evaluation(HUMAN.assign(**bounds)).get_xlabel()


def test_side_by_side_draws_each_table_under_its_title_on_equal_axes():
    long = "Not the paper's correlations, which are not among the figures that are published"
    higher = METRICS.assign(mean_tau_high=[0.6, 0.9])
    figure = plots.side_by_side(
        (plots.metric_correlation, METRICS, long), (plots.metric_correlation, higher, "This run")
    )
    left, right = figure.axes
    assert left.get_title(loc="left").replace("\n", " ") == long
    assert right.get_title(loc="left") == "This run"
    assert left.get_xlim() == right.get_xlim() and left.get_xlim()[1] > 0.9
    assert figure.get_size_inches()[0] == style.PAGE_WIDTH
    figure.canvas.draw()
    for ax in figure.axes:
        assert_inside(ax)
    assert left.get_tightbbox().x1 <= right.get_tightbbox().x0


@pytest.mark.parametrize("lengths", [[], [0, 5], [np.nan]])
def test_ehr_lengths_refuses_empty_records(lengths):
    with pytest.raises(MedAlignError, match="ehr_lengths"):
        plots.ehr_lengths(lengths)


def test_bars_add_up():
    assert sum(bar.get_height() for bar in draw("ehr_lengths").patches) == 3
    assert sum(bar.get_height() for bar in draw("event_years").patches) == YEARS["events"].sum()
    assert sum(bar.get_width() for bar in draw("instructions_by").patches) == 68


def test_deduplication_draws_known_shares_only():
    ax = draw("deduplication")
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["precision", "recall", "dropped"]
    # 900 of 1,314 at the middle threshold.
    assert ax.lines[2].get_ydata()[1] == pytest.approx(900 / 1314)
    assert list(ax.lines[3].get_xdata()) == [0.7, 0.7]
    unknown = dict.fromkeys(("duplicates", "precision", "recall"), np.nan)
    ax = plots.deduplication(DEDUPLICATION.assign(**unknown))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["dropped"]
    assert ax.get_xlabel() == "ROUGE-L threshold (n = 1,314 instructions)"
    assert ax.get_ylabel() == "Share dropped"


def test_figures_with_only_undefined_values_are_drawn():
    undefined = METRICS.assign(mean_tau=np.nan, mean_tau_low=np.nan, mean_tau_high=np.nan)
    zero = SYSTEMS.assign(correct=0.0, correct_low=np.nan, correct_high=np.nan)
    for ax in (plots.metric_correlation(undefined), plots.accuracy_by_system(zero)):
        ax.figure.canvas.draw()


def test_without_a_group_to_draw_there_is_a_sentence():
    lengths = NO_GROUPS.assign(events=np.nan, events_low=np.nan, events_high=np.nan)
    untested = GAPS.assign(p_holm=np.nan)
    for sentence in (
        plots.gap_matrix(NO_GROUPS, "system"),
        plots.gap_matrix(untested, "system"),
        plots.gaps_by_group(NO_GROUPS),
        plots.lengths_by_group(lengths),
    ):
        expected = "No groups are large enough to compare (n = 170 patients, 180 instructions)."
        assert sentence == expected


def test_groups_of_one_or_two_patients_are_named_below_and_not_drawn():
    small = {"0–17": 2, "18–39": 3, "40–64": 19}
    table = pd.DataFrame(
        {"system": "a", "grouping": "age", "group": [*small], "n_patients": [*small.values()],
         "n_instructions": 30, "p_holm": [np.nan, 0.5, 0.5], "suppressed": ""}
    )  # fmt: skip
    table = with_intervals(table, gap=[0.5, 0.1, -0.1], adjusted_gap=0.0, events=100.0)
    table.loc[1, ["gap_low", "events_low"]] = np.nan
    # 22 and 2: neither can be compared with the other.
    other = table[:2].assign(grouping="payer", group=["A", "B"], n_patients=[22, 2])
    table = pd.concat([table, other])
    for draw_table in (plots.gaps_by_group, plots.lengths_by_group):
        ax = draw_table(table)
        assert names_of(ax) == ["age: 18–39", "age: 40–64"]
        label = ax.get_xlabel().replace("\n", " ")
        assert "(none: fewer than 5 patients)" in label
        assert label.endswith(
            "not drawn, too few patients with a value: age: 0–17 (2), payer: A (22), payer: B (2)"
        )
    ax = plots.gap_matrix(table, "system")
    assert names_of(ax) == ["age: 18–39", "age: 40–64"] and "payer: A (22)" in ax.get_xlabel()


def test_figures_and_tables_round_half_away_from_zero():
    shares = [0.175, 0.275, 0.125, 0.3125, -0.175, 7 / 40, 0.3 - 0.125, 0.1749]
    expected = ["0.18", "0.28", "0.13", "0.31", "-0.18", "0.18", "0.18", "0.17"]
    table = pd.DataFrame({"share": shares, "share_low": np.nan, "share_high": np.nan})
    assert formatted(table)["share"].tolist() == expected
    assert [*map(style.decimals(2), shares)] == expected
    assert style.percent(1)(0.3125) == "31.3%" and style.percent(0)(0.125) == "13%"
    assert style.signed(-17.25, 1) == "−17.3" and style.decimals(2)(np.nan) == "NaN"


def test_gap_matrix_shows_the_range_of_n_and_names_untested_groups_once():
    table = pd.concat([GAPS[:4], GAPS[:4].assign(group="Other", p_holm=np.nan)])
    table["n_instructions"] = pd.array([8, 7, 9, None] * 2, "Int64")
    ax = plots.gap_matrix(table, "system")
    assert {"8 to 9", "7"} <= {text.get_text() for text in ax.texts}
    assert ax.get_xlabel().count("not drawn") == ax.get_xlabel().count("Other (90)") == 1
    table["n_instructions"] = pd.array([None] * 8, "Int64")
    assert "–" in {text.get_text() for text in plots.gap_matrix(table, "system").texts}
    sentence = plots.gap_matrix(table.assign(p_holm=np.nan), "system")
    assert sentence == "No groups are large enough to compare (n = 90 patients)."


def test_gaps_by_group_has_both_gaps():
    ax = draw("gaps_by_group")
    names = [name.replace("\n", " ") for name in names_of(ax)]
    assert names[::2] == ["gender: Female", "race: Black or African American + (others)"]
    # Points are raw gaps, diamonds adjusted ones.
    raw, adjusted = (line.get_xdata() for line in (ax.lines[0], ax.lines[-1]))
    assert raw[[0, 2]] == pytest.approx([0.02, -0.25])
    assert adjusted == pytest.approx([0.03] * 3)


def test_metric_correlation_draws_the_ceiling_only_where_there_is_one():
    read_back = pd.read_csv(io.StringIO(SKIPPED.to_csv(index=False)))
    for table in (SKIPPED, read_back):
        ax = plots.metric_correlation(table, ceiling=Interval(0.65, 0.55, 0.74))
        assert [0.65, 0.65] in [list(line.get_xdata()) for line in ax.lines]
        assert names_of(ax) == ["comet-compact", "ROUGE-L"]  # without the unscored metric
        assert ax.get_xlabel().endswith("\nnot scored: LENS")
    ax = plots.metric_correlation(METRICS, ceiling=Interval(np.nan, np.nan, np.nan))
    assert "second rater" not in ax.get_xlabel()


def test_metric_differences_mark_what_is_significant_after_holms_correction():
    table = pd.DataFrame(
        {"metric_a": ["a", "a", "b"], "metric_b": ["b", "c", "c"], "n": 9,
         "difference": [0.25, -0.5, np.nan], "p_holm": [0.04, 0.06, np.nan]}
    )  # fmt: skip
    ax = plots.metric_differences(table)
    found = [(text.get_text(), text.get_weight()) for text in ax.texts]
    assert found == [(".25", "bold"), ("−.50", "normal")]
    assert not plots.metric_differences(table[:0]).texts
