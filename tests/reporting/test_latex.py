"""Tables in LaTeX."""

import shutil
import subprocess

import pandas as pd
import pytest

from medalign_utils import paths
from medalign_utils.__main__ import main
from medalign_utils.errors import MedAlignError
from medalign_utils.reporting.latex import to_latex, write_latex
from medalign_utils.reporting.results_table import formatted

TABLE = pd.DataFrame(
    {"system": ["a_b & 50%", "β… ≤ †"], "n": [80, 72], "correct": [0.175, 0.3125],
     "correct_low": [0.1, 0.2], "correct_high": [0.25, 0.45], "p_holm": [0.0002, 0.5],
     "empty": [None, None]}
)  # fmt: skip
RUN = {"experiment": "x", "is_restricted": False, "limited_to": "", "release": "synthetic release"}


def rows_of(text):
    body = text.split("\\midrule\n")[1].split("\\bottomrule")[0]
    return [row.removesuffix(" \\\\").split(" & ") for row in body.splitlines()]


def test_values_are_rounded_as_they_are_shown_and_text_is_escaped():
    text = to_latex(TABLE)
    assert "System & n & Correct & p (Holm) \\\\" in text and "{lrrr}" in text
    first, second = rows_of(text)
    assert first == ["a\\_b \\& 50\\%", "80", "0.18 (0.10 to 0.25)", "$<$0.001"]
    assert second[0] == "β\\ldots{} $\\leq$ \\textdagger{}"
    assert [row[2] for row in (first, second)] == formatted(TABLE)["correct"].tolist()


def test_a_paper_needs_some_columns():
    assert rows_of(to_latex(TABLE, columns=["correct", "system"]))[0][0] == "0.18 (0.10 to 0.25)"
    with pytest.raises(MedAlignError, match="no column accuracy; the table has system, n, correct"):
        to_latex(TABLE, columns=["accuracy"])


def test_a_long_table_has_a_part_per_page():
    text = to_latex(pd.DataFrame({"n": range(41)}), "Many.", "tab:many")
    assert text.count("\\begin{table}") == text.count("\\toprule") == 2
    assert "\\caption{Many. (part 2 of 2)}" in text and text.count("\\label{tab:many}") == 1


def test_a_run_has_its_tables_in_latex_beside_the_csv(project):
    name = "05_evaluate_systems"
    paths.write_table(TABLE.assign(limited_to="2 of 8 instructions"), paths.table("x", name))
    [file] = write_latex(RUN | {"limited_to": "2 of 8 instructions"})
    assert file == paths.table("x", name).with_suffix(".tex")
    text = file.read_text("utf-8")
    assert "Limited to 2 of 8 instructions. Synthetic release.}" in text
    assert "tab:05_evaluate_systems" in text and "Limited to &" not in text


def test_the_command_prints_a_table(project, capsys):
    file = paths.write_table(TABLE, paths.table("x", "a"))
    assert main(["latex", str(file), "system", "correct"]) == 0
    assert "System & Correct \\\\" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
@pytest.mark.parametrize("n", [1, 30])
def test_latex_compiles(tmp_path, n):
    table = pd.concat([TABLE.replace("β", "b", regex=True)] * n)
    text = to_latex(table, "50 % of a_b: “not documented” – no.", "tab:a_b")
    packages = text.splitlines()[0].removeprefix("% ")
    document = (
        f"\\documentclass{{article}}\n{packages}\n\\begin{{document}}\n{text}\\end{{document}}\n"
    )
    (tmp_path / "a.tex").write_text(document, encoding="utf-8")
    command = ("pdflatex", "-halt-on-error", "-interaction=nonstopmode", "a.tex")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


def test_a_file_that_is_no_table_is_an_error(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("a\nb\nSeen by Dr. Who,c,d\n")
    assert main(["latex", str(tmp_path / "a.csv")]) == 2
    error = capsys.readouterr().err
    assert "a.csv: not a table of a run" in error and "Who" not in error
