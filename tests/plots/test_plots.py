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
from tests.builders.plot_tables import (
    CASES,
    CHANGES,
    CONTEXTS,
    DEDUPLICATION,
    GAPS,
    GROUPS,
    HARD,
    HUMAN,
    LONG,
    METRICS,
    NO_GROUPS,
    OUTCOMES,
    SKIPPED,
    SYSTEMS,
    TOKENS,
    YEARS,
    with_intervals,
)


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
    return [*found, *names_of(ax), ax.get_xlabel(), ax.get_ylabel(), *notes(ax.figure)]


def notes(figure):
    return figure.get_supxlabel().split("\n")


def below(ax):
    """What stands below the axes, on one line."""
    return " ".join([ax.get_xlabel(), *notes(ax.figure)])


def assert_inside(ax):
    box, inside = ax.figure.bbox, ax.get_tightbbox()
    assert box.x0 <= inside.x0 and inside.x1 <= box.x1
    assert box.y0 <= inside.y0 and inside.y1 <= box.y1


@pytest.mark.parametrize("name", CASES)
def test_text_is_inside_the_picture_and_settings_are_restored(name):
    before = dict(mpl.rcParams)
    ax = draw(name)
    is_wide = name in ("gap_matrix", "accuracy_by_cost", "metric_differences")
    assert ax.figure.get_size_inches()[0] == (style.PAGE_WIDTH if is_wide else style.COLUMN_WIDTH)
    ax.figure.canvas.draw()
    assert_inside(ax)
    _, given = plt.subplots(figsize=(7, 4))
    assert draw(name, given) is given
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("head_to_head", {"0.70", "0.30", "a", "b"}),
        ("metric_correlation", {"comet-compact", "ROUGE-L", "n", "70", "undefined", "2", "4"}),
        ("ehr_lengths", {"8,192:\n1 shorter"}),
        ("instructions_by", {"20 of 60", "4 of 8", "Instructions (n = 68, 24 with a reference)"}),
        ("instructions_by, published", {"in the paper\n(n = 742)", "223 of 667", "41 of 75"}),
        ("match_recall", {"first record", "first 5 records", "50.0%", "7.2%"}),
        # 4000 x 23 x 24 / 2
        ("event_years", {"Calendar year (n = 1,104,000 events)"}),
        # 15 types: 12 are drawn, those with 3, 2 and 1 notes left out; 46,252 + 105 in all.
        ("note_types", {"Notes (n = 46,357)", "46,252"}),
        ("deduplication", {"ROUGE-L threshold (n = 1,314 instructions)"}),
        ("gap_matrix", {"+10.0*", "−10.0*", "+2.0", "−25.0", "90", "100", "patients", "instr."}),
        ("gap_matrix", {LONG, "b"}),
        ("audit_power", {"no gap, 184 patients", "20 points, 92 patients", "60%"}),
        ("audit_power", {"20 points, 19 patients", "120"}),
        ("lengths_by_group", {"3,000", "gender: Female", "23"}),
        ("correlation_with_paper", {"0.40†", "0.20†", "0.10", "70"}),
        ("accuracy_by_prompt", {"n in", "72", "40", "n not in", "–", "32"}),
        ("accuracy_by_context",
         {"2,048", "full record", "−20.0\n[−30.0, −10.0]\np < 0.001",
          "−10.0\n[−20.0, 0.0]\np = 0.300"}),
    ],
)  # fmt: skip
def test_figures_state(name, expected):
    assert expected <= set(texts(draw(name)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy_by_system", "n = 72 instructions"),
        ("ehr_lengths", "n = 3 EHRs, median 9,000"),
        ("note_types", "not drawn: 3 more types with 6 notes"),
        ("deduplication", "1,314 submitted instructions, 765 of them duplicates"),
        ("deduplication", "dotted: 0.7"),
        ("paired_differences", "hold for all pairs at once"),
        ("match_recall", "n = 411"),
        ("match_recall", "among the first of 276 records"),
        ("correlation_with_paper", "† transcribed, not re-verified"),
        ("gap_matrix", "small groups merged: race not shown, too small: payer"),
        ("metric_correlation, ceiling", "a second rater's, 0.65 [0.55, 0.74] (no strict ceiling)"),
        ("metric_correlation, ceiling", "not scored: LENS"),
    ],
)
def test_labels_below_state(name, expected):
    assert expected in below(draw(name))


def test_accuracy_by_system_sorts_and_wraps_names():
    first, second = names_of(draw("accuracy_by_system"))
    assert first == "b" and second.replace("\n", "") == LONG and "\n" in second


def test_accuracy_by_context_rises_from_left_to_right():
    ax = draw("accuracy_by_context")
    assert ax.lines[0].get_xdata().tolist() == [0, 1, 2]
    assert ax.lines[0].get_ydata().tolist() == [0.2, 0.3, 0.4]
    assert "paired difference from the full record" in below(ax)
    few = CONTEXTS.assign(correct_high=np.nan, difference_low=np.nan, sign_flip_p_holm=np.nan)
    ax = plots.accuracy_by_context(few[:2])
    assert {"−20.0", "−10.0"} <= set(texts(ax)) and "from the longest context" in below(ax)


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
    assert "not drawn, cost unknown: e" in below(ax)
    x, y = ax.collections[-1].get_offsets().T
    assert y.tolist() == [0.3, 0.29, 0.28, 0.4]
    assert x.tolist() == [1800, 1801, 1802, 50_000]  # points stand at their cost
    assert [path.vertices[0, 0] for path in ax.collections[0].get_paths()] == [1800, 50_000]
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


def test_more_pairs_than_a_page_holds_are_those_of_the_smallest_p():
    table = HARD["paired_differences"][0][0].assign(system="bm25-full", opponent="bm25-8k")
    ax = plots.paired_differences(table)
    assert len(names_of(ax)) == 30 and ax.figure.get_figheight() < 9
    assert "the 30 of 144 pairs with the smallest p over patients" in below(ax)
    assert ax.lines[0].get_xdata().max() == table["difference"][29]


def test_counterfactual_changes_has_a_panel_per_measure_and_relevant_rows():
    figure = plots.counterfactual_changes(CHANGES)
    first, *others = figure.axes
    assert names_of(first) == ["a · nothing (control)", "a · age", "a · age, relevant"]
    assert not any("".join(names_of(ax)) for ax in others)
    points = [ax.lines[0].get_xdata().tolist() for ax in figure.axes]
    assert points == [[0, 0.1, 0.5], [0, 0.2, 0.5], [0, pytest.approx(0.3), 0.5]]
    assert [t.get_text() for t in others[-1].texts][1:] == [
        *("80 (24)", "74 (24)", "not shown", "lost", "0%", "40%", "50%"),
        *("gained", "0%", "50%", "50%"),
    ]
    assert len(plots.counterfactual_changes(CHANGES.assign(flipped=np.nan)).axes) == 2


def test_where_nothing_changes_there_is_a_sentence():
    zero = CHANGES.assign(changed=0.0, changed_beyond=0.0, flipped=0.0)
    sentence = "No response changes when a demographic is rewritten (n = 74 to 80 instructions)."
    assert plots.counterfactual_changes(zero) == sentence


def test_accuracy_by_group_has_no_panel_left_over_and_names_small_groups():
    figure = plots.accuracy_by_group(GROUPS)
    shown = [ax for ax in figure.axes if ax.get_visible()]
    titles = [ax.get_title(loc="left").splitlines() for ax in shown]
    assert titles[0] == ["Kind 0 of $", "n = 40 (9 patients)"] and len(titles) == 5
    assert len({ax.get_xlim() for ax in shown}) == 1
    # Five groups: three panels and two, rather than four and one.
    figure.canvas.draw()
    heights = [round(ax.get_position().y0, 3) for ax in shown]
    assert [heights.count(height) for height in sorted(set(heights))] == [2, 3]
    assert (
        "not drawn, fewer than 5 patients: EHR length quartile 1: up to 900 tokens, n = 1 "
        "(1 patient)"
    ) in " ".join(notes(figure))
    is_first = GROUPS["group"] == GROUPS["group"][0]
    hidden = GROUPS.assign(n=GROUPS["n"].astype("Int64").where(is_first))
    assert len(plots.accuracy_by_group(hidden).axes) == 1
    only_small = plots.accuracy_by_group(GROUPS[10:])
    assert len(only_small.axes) == 1 and "not drawn" not in " ".join(notes(only_small))


def test_accuracy_by_prompt_has_both_groups_in_a_system_s_row():
    ax = draw("accuracy_by_prompt")
    inside, outside = (line.get_xydata() for line in ax.get_lines()[:2])
    assert inside[:, 0].tolist() == [0.3, 0.4]
    assert np.isnan(outside[0, 0]) and outside[1, 0] == 0.1  # the first read whole records


def test_points_stand_at_the_tokens_that_a_system_read():
    figure = plots.accuracy_by_tokens(TOKENS)
    panels = {ax.get_title(loc="left"): ax for ax in figure.axes}
    assert len(panels) == 3 and "$ its own $" in panels
    x, y = panels["b"].lines[1].get_data()  # after the pale points of all systems
    assert x.tolist() == [900, 90_000] and y.tolist() == [0.3, 0.5]
    assert panels["$ its own $"].lines[1].get_xdata().tolist() == [1800]
    assert [len(ax.lines[0].get_xdata()) for ax in panels.values()] == [4] * 3
    few = TOKENS.assign(correct_low=[np.nan, 0.1, 0.1, 0])
    assert "none: fewer than 5 patients" in " ".join(notes(plots.accuracy_by_tokens(few)))


def test_outcome_shares_has_three_panels_on_one_axis():
    figure = plots.outcome_shares(OUTCOMES)
    assert [ax.get_title(loc="left").split(":")[0] for ax in figure.axes] == [
        "Correct",
        "Contradiction",
        "Omission",
    ]
    assert len({ax.get_xlim() for ax in figure.axes}) == 1
    assert names_of(figure.axes[0]) == [LONG, "b"]


def test_human_evaluation_has_the_three_numbers_of_each_system_in_its_row():
    ax = draw("human_evaluation")
    rows = {text.get_text(): text.xy[1] for text in ax.texts}
    # 65.0 % is on top, regardless of the table's order.
    assert rows["65.0%"] == rows["0.658"] == rows["2.80"] == 0
    assert rows["60.1%"] == rows["0.676"] == rows["2.75"] == 1
    # The paper's table has no intervals, and the label mentions none.
    assert below(ax) == "Correct responses (n = 303 instructions) "
    bounds = {"correct_low": 0.5, "correct_high": 0.7}
    assert "95% interval" in below(plots.human_evaluation(HUMAN.assign(**bounds)))


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
    figure.canvas.draw()
    assert left.get_tightbbox().x1 <= right.get_tightbbox().x0


@pytest.mark.parametrize("lengths", [[], [0, 5], [np.nan]])
def test_ehr_lengths_refuses_empty_records(lengths):
    with pytest.raises(MedAlignError, match="ehr_lengths"):
        plots.ehr_lengths(lengths)


def test_bars_add_up():
    assert sum(bar.get_height() for bar in draw("ehr_lengths").patches) == 3
    assert sum(bar.get_height() for bar in draw("event_years").patches) == YEARS["events"].sum()
    assert sum(bar.get_width() for bar in draw("instructions_by").patches) == 68


def test_a_category_without_a_counterpart_has_a_dash_and_not_0_of_0():
    table = pd.DataFrame(
        {
            "category": ["Other + (others)", "Other", "Plan"],
            "with_reference": pd.array([30, None, 0], "Int64"),
            "all": pd.array([50, None, 20], "Int64"),
            "published_with_reference": pd.array([None, 41, 5], "Int64"),
            "published_all": pd.array([None, 75, 9], "Int64"),
        }
    )
    ax = plots.instructions_by(table, "category")
    assert {"30 of 50", "0 of 20", "41 of 75", "5 of 9", "in the paper\n(n = 84)"} <= {*texts(ax)}
    assert texts(ax).count("–") == 2 and "0 of 0" not in texts(ax)
    assert ax.get_xlabel() == "Instructions (n = 70, 30 with a reference)"
    assert sum(bar.get_width() for bar in ax.patches) == 70 and len(ax.patches) == 2 * 2


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
        label = below(ax)
        assert "(none: fewer than 5 patients)" in label
        assert label.endswith(
            "not drawn, too few patients with a value: age: 0–17 (2), payer: A (22), payer: B (2)"
        )
    ax = plots.gap_matrix(table, "system")
    assert names_of(ax) == ["age: 18–39", "age: 40–64"] and "payer: A (22)" in below(ax)


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
    assert below(ax).count("not drawn") == below(ax).count("Other (90)") == 1
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
        assert notes(ax.figure)[-1] == "not scored: LENS"
    ax = plots.metric_correlation(METRICS, ceiling=Interval(np.nan, np.nan, np.nan))
    assert "second rater" not in below(ax)


def test_metric_differences_have_p_below_the_diagonal_and_mark_what_is_significant():
    table = pd.DataFrame(
        {"metric_a": ["a", "a", "b"], "metric_b": ["b", "c", "c"], "n": 9,
         "difference": [0.25, -0.5, np.nan], "p_holm": [0.04, 0.06, np.nan]}
    )  # fmt: skip
    ax = plots.metric_differences(table)
    found = [(text.get_text(), text.get_weight()) for text in ax.texts]
    assert found == [
        *[("+0.25", "bold"), ("−0.50", "normal")],
        *[("0.04", "bold"), ("0.06", "normal")],
    ]
    assert not plots.metric_differences(table[:0]).texts


def test_a_metric_of_the_paper_and_of_the_run_has_one_row():
    ax = draw("correlation_with_paper")
    names = [name.replace("\n", " ") for name in names_of(ax)]
    assert names == [
        *("Inter-rater reliability (clinicians)", "ROUGE-L", "chrF", "comet-compact"),
    ]
    rows = {text.get_text(): text.xy[1] for text in ax.texts}
    assert rows["0.25†"] == rows["0.10"] == 1 and rows["0.40"] == 3
