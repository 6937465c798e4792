"""JSON tables are read row by row, and their faults are named."""

import json

import pytest

from medalign_utils.data.json_rows import read_json_rows, to_json
from medalign_utils.data.tables import read_table
from medalign_utils.errors import ReleaseError

REQUIRED = ("instruction_id", "question")


def written(folder, text, name="table.json"):
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("lines", [False, True])
def test_what_is_written_is_read_again(tmp_path, lines):
    rows = [{"a": 'x\t"y"\n— é\u2028', "b": "1"}, {"a": None, "b": "2"}]
    found = read_json_rows(written(tmp_path, to_json(rows, lines=lines)))
    assert found.header == ["a", "b"]
    assert found.rows == {1: ['x\t"y"\n— é\u2028', "1"], 2: ["", "2"]}
    assert found.faults == []


def test_numbers_keep_all_digits_and_absent_keys_are_missing_values(tmp_path):
    text = (
        '[{"instruction_id": 54793148761230001, "question": "Why?"}, {"question": NaN, "x": true}]'
    )
    found = read_json_rows(written(tmp_path, text))
    assert found.header == ["instruction_id", "question", "x"]
    assert found.rows == {1: ["54793148761230001", "Why?", ""], 2: ["", "", "true"]}


def test_a_table_has_the_same_checks_as_in_tsv(tmp_path):
    rows = [("7", "Why?"), ("7", "Why?"), ("8", " "), ("5.47e+12", "Why?"), (" 9 ", "Who?")]
    objects = [dict(zip(REQUIRED, row, strict=True)) for row in rows]
    lines = ["\t".join(REQUIRED), *("\t".join(row) for row in rows)]
    files = [
        written(tmp_path, json.dumps(objects)),
        written(tmp_path, to_json(objects, lines=True), "table.jsonl"),
        written(tmp_path, "\n".join(lines), "table.tsv"),
    ]
    in_json, in_lines, in_tsv = (read_table(f, REQUIRED, key=["instruction_id"]) for f in files)
    assert in_tsv.frame["instruction_id"].tolist() == ["7", "9"]
    assert len(in_tsv.problems) == 3
    for table in (in_json, in_lines):
        assert table.frame.equals(in_tsv.frame)
        found = [(problem.place, problem.message) for problem in table.problems]
        assert found == [(problem.place, problem.message) for problem in in_tsv.problems]


@pytest.mark.parametrize(
    ("text", "place", "fault"),
    [
        ('[{"a": 1}, 2]', "row 2", "text or a number, expected an object"),
        ('[{"a": 1}, null]', "row 2", "null, expected an object"),
        ('[{"a": ["x"]}]', "row 1", "a is a list, expected text or a number"),
        ('[{"a": "\\ud800"}]', "row 1", "a has an escape that is half a character"),
        ('{"a": 1}\n\n{"a": 2', "line 3", "not JSON (Expecting ',' delimiter); expected a list"),
        ('{"a": 1, "a": 2}\n', "line 1", "an object has 'a' twice"),
        ("a,b\n", "line 1", "not JSON (Expecting value); expected a list of objects, or one"),
    ],
)
def test_a_faulty_row_is_left_out_and_named(tmp_path, text, place, fault):
    [(found_place, found_fault)] = read_json_rows(written(tmp_path, text)).faults
    assert found_place == place and fault in found_fault


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[\n{"a": 1},\n{"a" 2}]', r"table.json, line 3: not JSON \(Expecting ':' delimiter\)"),
        ('[{"a": 1, "a": 2}]', "table.json: not a table in JSON .*'a' twice"),
        ("[" * 100_000, "table.json: not a table in JSON"),
    ],
)
def test_a_list_that_is_not_json_is_an_error(tmp_path, text, message):
    with pytest.raises(ReleaseError, match=message):
        read_json_rows(written(tmp_path, text))


def test_another_ending_is_an_error(tmp_path):
    with pytest.raises(ReleaseError, match=r"table.txt: expected a name that ends in \.tsv, "):
        read_table(written(tmp_path, "[]", "table.txt"), REQUIRED)
