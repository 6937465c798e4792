import pytest

from medalign_utils.data.reviews import load_reviews, read_reviews
from medalign_utils.errors import ParamsError, ReleaseError

HEADER = "instruction_id\tmodel_name\tbinary_correct\tis_used_eval\tmodel_output\trank\treviewer\n"


@pytest.fixture
def write(tmp_path):
    def write(rows, header=HEADER):
        file = tmp_path / "clinician-reviewed-model-responses.tsv"
        file.write_text(header + "".join("\t".join(row) + "\n" for row in rows), "utf-8")
        return file

    return write


def test_all_spellings_of_verdicts_are_read_and_unused_rows_are_left_out(write):
    spellings = ["1", "1.0", "True", " YES ", "correct", "0", "0.0", "false", "No", "Incorrect"]
    rows = [("7", f"s{n}", word, "TRUE", f"{n}", "1", "R") for n, word in enumerate(spellings)]
    unused = [
        ("7", "b", "", "no", "y", "", "R"),  # no verdict, but not used
        ("8", "b", "0", "0", "z", "2", "R"),
        ("8", "", "?", "no", "", "best", ""),
    ]
    reviews = load_reviews(write(unused[:2] + rows + unused[2:]))
    ratings = reviews.ratings
    assert ratings["correct"].tolist() == [True] * 5 + [False] * 5
    assert ratings["correct"].dtype == bool and ratings["rank"].dtype == "float64"
    assert reviews.n_not_used == 3
    assert reviews.responses["response"].tolist() == [*"0123456789"]


def test_unnamed_raters_get_unused_numbers(write):
    header = "instruction_id\tmodel_name\tbinary_correct\tmy_rank\n"
    rows = [("7", "a", "1", "1"), ("7", "a", "0", "2"), ("7", "b", "0", "1")]
    reviews = load_reviews(write(rows, header), columns={"rank": "my_rank"})
    assert reviews.ratings["rater"].tolist() == ["clinician 1", "clinician 2", "clinician 1"]
    assert reviews.responses is None and reviews.n_not_used == 0
    rows = [("7", "a", "1", "yes", "x", "1", name) for name in ("clinician 2", "", " R ", "R2")]
    ratings = load_reviews(write(rows)).ratings
    assert ratings["rater"].tolist() == ["clinician 2", "unnamed clinician 2", "R", "R2"]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (("7", "a", "maybe", "yes", "x", "1", "R"), "row 2: binary_correct 'aaaaa', expected 1 or"),
        (("7", "a", "1", "perhaps", "x", "1", "R"), "row 2: is_used_eval 'aaaaaaa', expected yes"),
        (("7", "a", "1", "yes", "x", "0", "R"), "row 2: rank '#', expected a number from 1"),
        (("7", "a", "1", "yes", "x", "inf", "R"), "row 2: rank 'aaa', expected a number from 1"),
        (("7", "", "1", "yes", "x", "1", "R"), "row 2: no system"),
        (("6", "a", "1", "yes", "x", "1", "R"), "row 2: instruction_id 6, system a, rater R is a"),
        (
            ("6", "a", "1", "yes", "y", "1", "S"),
            "row 2: the response of a to instruction 6 differs",
        ),
    ],
)
def test_errors_name_the_row(write, row, fault):
    file = write([("6", "a", "1", "yes", "x", "1", "R"), row])
    with pytest.raises(ReleaseError) as error:
        load_reviews(file)
    assert fault in str(error.value)
    reviews = read_reviews(file)
    assert len(reviews.problems) == 1 and reviews.ratings["instruction_id"].tolist() == ["6"]


@pytest.mark.parametrize("ours", ["used", "rank"])
def test_a_mapped_column_that_the_table_lacks(write, ours):
    file = write([("7", "a", "1", "no", "x", "1", "R")])
    with pytest.raises(ParamsError, match=f"columns: {ours}: no column 'is_used_evla'; clinician"):
        read_reviews(file, columns={ours: "is_used_evla"})
    # Another table may use this name for patient ids.
    assert read_reviews(file, columns={"person_id": "patient"}).n_not_used == 1
    with pytest.raises(ReleaseError, match="no row is used for the evaluation"):
        load_reviews(file)
