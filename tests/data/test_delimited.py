import gzip
import re

import pandas as pd
import pytest

from medalign_utils.data.delimited import read_delimited
from medalign_utils.errors import ReleaseError

HEADER = "instruction_id\tquestion\tspecialty\tperson_id\n"
QUESTIONS = ['"Dry weight?', 'BMI"', 'a\t"b"\nx\tc, d', "“Any pain?”", "5'", "\N{EM DASH}"]


@pytest.fixture
def read(tmp_path):
    def read(content, suffix=".tsv"):
        file = tmp_path / f"table{suffix}"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        table = read_delimited(file, suffix)
        return table, [f"{place}: {fault}" for place, fault in table.faults]

    return read


@pytest.mark.parametrize(
    ("rows", "fault", "kept"),
    [
        ('1\t"Dry weight?\tC\t40\n2\tBMI"\tC\t40\n', "line 2: a quotation mark joins row 1 with r"
         "ow 2, where it closes in line 3", [2]),
        ('1\t"Dry weight?\tC\t40\n2\tx\tC\t40\n3\tBMI"\tC\t40\n', "joins row 1 with row 3", [2, 3]),
        ('1\ta\tC\t"40\n2\tBMI\tC\t40"\n', "joins row 1 with row 2", [2]),
        ('1\t"Dry weight?\n2\tBMI"\tC\t40\n', "joins row 1 with row 2", [2]),
        ('1\t"Dry weight?\tC"\t40\n', "3 fields, expected 4 as in the header; quotation marks", []),
    ],
)  # fmt: skip
def test_lone_quotes_do_not_join_two_rows(read, rows, fault, kept):
    table, faults = read(HEADER + rows + "9\tx\tC\t40\n")
    assert fault in faults[0] and len(faults) == 1
    assert len(table.rows) == len(kept) + 1 and {*kept} <= {*table.rows}
    assert [*table.rows.values()][-1] == ["9", "x", "C", "40"]


def test_lone_quotes_do_not_join_two_rows_of_a_csv_file(read):
    rows = '1,"Dry, weight?,40\n2,BMI",40\n3,"One, two\n\nHowever, three, x",40\n'
    table, faults = read("instruction_id,question,person_id\n" + rows, ".csv")
    assert "joins row 1 with row 2" in faults[0] and len(faults) == 1
    assert table.rows[3][1] == "One, two\n\nHowever, three, x"


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ('1\t"Dry weight?\tC\t40\n', 2),
        ('1\t"Dry weight" please\tC\t40\n', 2),
        ('1\t"a\nb"\t"C\t40\n', 3),  # the first cell is well-formed
    ],
)
def test_a_broken_quote_is_reported_where_it_opens_and_the_rest_is_read(read, rows, line):
    table, faults = read(HEADER + rows + "2\tBMI\tC\t40\n\n3\tx\tC\n")
    assert faults[0].startswith(f"line {line}: a cell begins with a quotation mark that does not")
    assert "3 fields, expected 4" in faults[1] and len(faults) == 2
    assert table.rows == {2: ["2", "BMI", "C", "40"]}


def test_many_lone_quotes_are_read_in_linear_time(read):
    table, faults = read(HEADER + '1\t"Dry weight?\tC\t40\n' * 20_000)
    assert len(faults) == 20_000 and not table.rows


def test_a_quote_in_the_header_does_not_hide_the_rows(read):
    with pytest.raises(ReleaseError, match="line 1: a quotation mark joins the header with row 1"):
        read('instruction_id\t"question\n1\tDry"\n2\tx\n')


@pytest.mark.parametrize("quoting", [0, 1, 2])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(("suffix", "delimiter"), [(".tsv", "\t"), (".csv", ",")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_tables_of_pandas_and_spreadsheets_are_read(
    read, quoting, line_end, suffix, delimiter, encoding
):
    frame = pd.DataFrame({"instruction_id": [*"012345"], "question": QUESTIONS, "x": ""})
    options = {"sep": delimiter, "quoting": quoting, "lineterminator": line_end}
    table, faults = read(frame.to_csv(index=False, **options).encode(encoding), suffix)
    assert not faults and table.header == [*frame]
    assert [row[1] for row in table.rows.values()] == QUESTIONS


def test_blank_rows_and_trailing_tabs_are_no_rows_and_no_columns(read):
    table, faults = read(HEADER.replace("\n", "\t\t\n") + "1\ta\tC\t40\t\t\t\n\n\t\t\n")
    assert (table.header, table.rows, faults) == (HEADER.split(), {1: ["1", "a", "C", "40"]}, [])
    with pytest.raises(ReleaseError, match="columns 2, 3 have values but no name in the header"):
        read("instruction_id\t\t \n1\ta\tb\n")


def test_two_files_joined_into_one_repeat_the_header(read):
    table, faults = read(HEADER + "1\ta\tC\t40\n\N{ZERO WIDTH NO-BREAK SPACE}" + HEADER)
    assert faults == ["line 3: repeats the header"] and len(table.rows) == 1


@pytest.mark.parametrize(
    ("content", "suffix", "fault"),
    [
        ("instruction_id;question\n1;a, b\n", ".csv", "separated by semicolons, expected commas"),
        ('"instruction_id";"question"\n1;a\n', ".tsv", "separated by semicolons, expected tabs"),
        ("instruction_id,question\n1,a\n", ".tsv", "expected tabs; rename it to .csv"),
        ("instruction_id\tquestion\n1\ta\n", ".csv", "expected commas; rename it to .tsv"),
        ("sep=;\ninstruction_id;question\n", ".csv", "line 1: Excel's line about separators"),
        ('"id"\t"q"\n"1"\t"7"\t"a"\n', ".tsv", "one more field than the header, perhaps a row na"),
        (HEADER.encode("utf-16"), ".tsv", "expected a table in UTF-8, found UTF-16"),
        (b"version https://git-lfs.github.com/spec/v1\n", ".tsv", "git lfs pull"),
        (b"<html><body>Sign in", ".csv", "a web page, perhaps a login"),
        (gzip.compress(HEADER.encode() * 99, mtime=0)[:-9], ".tsv", "cannot be read (damaged gzip"),
        (b"PK\x03\x04", ".csv", "found a zip archive"),
    ],
)
def test_other_files_are_named_with_what_to_do(read, content, suffix, fault):
    with pytest.raises(ReleaseError, match=re.escape(fault)):
        read(content, suffix)


def test_quotes_of_windows_are_named_with_row_and_column(read):
    rows = '1\t"a\nb"\tC\t40\n2\tHe said “hi”\tC\t40\n'
    with pytest.raises(ReleaseError, match=r"tsv, row 2, column question: byte 0x93 .* it is '“'"):
        read((HEADER + rows).encode("cp1252"))
    with pytest.raises(ReleaseError, match="the header, column 2: byte 0xfc"):
        read("instruction_id\tfrüh\n".encode("cp1252"))


def test_a_compressed_table_is_read(read):
    assert read(gzip.compress((HEADER + "1\ta\tC\t40\n").encode()))[0].rows[1][1] == "a"


@pytest.mark.parametrize("row", ["str\tobject\tint64\t", "<chr>\t<chr>\t<dbl>\t", "--\t---\t--\t"])
def test_a_row_of_types_or_dashes_below_the_header_is_no_instruction(read, row):
    table, faults = read(f"{HEADER}{row}\n1\tText\tC\t40\n2\ttext\tdate\t\n")
    assert faults == ["line 2: types of columns or a line, no values; delete it"]
    assert [*table.rows] == [2, 3]


@pytest.mark.parametrize("content", ["", "\ufeff", "\n \n"])
def test_an_empty_table_is_named_as_such(read, content):
    with pytest.raises(ReleaseError, match=r"table\.tsv: an empty file; copy it again"):
        read(content)
