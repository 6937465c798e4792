"""How often the grader is wrong about responses that people judged.

`python benchmarks/grader.py FILE...` reads JSONL with instruction, facts, response, correct and,
optionally, form. It prints right answers that are lost and wrong ones that pass, with n and Wilson
95 % intervals, by kind of fact and by form; `--misses` lists them. `--speed` times 10,000
responses of 200 words on one core instead. Without a file, it measures `PUBLISHED`, and writes
`benchmarks/grader.csv` and the table of docs/grading.md.
"""

import argparse
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from medalign_utils.grading import grade
from medalign_utils.reporting.results_table import markdown_table
from medalign_utils.stats.rounding import rounded

HERE = Path(__file__).parent
# The rules were final when it was first graded.
PUBLISHED = HERE / "grader/set-6.jsonl"
# Each set when it was first graded, before its misses were known, by the rules of a commit.
FIRST_RUNS = HERE / "grader/first_runs.csv"
PAGE = HERE.parent / "docs/grading.md"
N_TIMED, WORDS = 10_000, 200


def read_cases(files: list[Path]) -> pd.DataFrame:
    lines = [line for file in files for line in file.read_text("utf-8").splitlines() if line]
    cases = pd.DataFrame(json.loads(line) for line in lines)
    cases["form"] = cases["form"].fillna("") if "form" in cases else ""
    cases["kind"] = ["+".join(sorted({f["kind"] for f in facts})) for facts in cases["facts"]]
    graded = [grade(c.response, c.facts, c.instruction) for c in cases.itertuples()]
    return cases.assign(grade=graded, passed=[g.correct for g in graded])


def shares(cases: pd.DataFrame, by: str) -> Iterator[dict]:
    for name, group in [("all", cases), *cases.groupby(by)]:
        row = {"by": by, "name": name}
        for label, of, is_miss in (("lost", True, False), ("passed", False, True)):
            chosen = group[group["correct"] == of]
            n, misses = len(chosen), int((chosen["passed"] == is_miss).sum())
            row |= {f"n_{'right' if of else 'wrong'}": n, label: misses}
        yield row


def with_text(table: pd.DataFrame) -> pd.DataFrame:
    """Return two columns of text such as "3 of 85: 3.5 % (1.2 to 9.9)"."""

    def text(row: pd.Series, n: str, misses: str) -> str:
        if not row[n]:
            return "none"
        low, high = proportion_confint(row[misses], row[n], method="wilson")
        share, low, high = (rounded(100 * x, 1) for x in (row[misses] / row[n], low, high))
        return f"{row[misses]} of {row[n]}: {share} % ({low} to {high})"

    lost = table.apply(text, axis=1, n="n_right", misses="lost")
    passed = table.apply(text, axis=1, n="n_wrong", misses="passed")
    return pd.DataFrame({"Right, lost": lost, "Wrong, passed": passed})


def readable(table: pd.DataFrame) -> pd.DataFrame:
    names = table["name"].str.replace("_", " ").str.replace("+", " and ")
    return pd.concat([names.rename("Responses"), with_text(table)], axis=1)


def first_runs() -> pd.DataFrame:
    runs = pd.read_csv(FIRST_RUNS)
    together = runs.drop(columns=["set", "commit"]).sum().to_dict()
    runs = pd.concat([runs, pd.DataFrame([{"set": "all", "commit": "", **together}])])
    named = runs[["set", "commit"]].rename(columns=str.title).reset_index(drop=True)
    return pd.concat([named, with_text(runs.reset_index(drop=True))], axis=1)


def publish(table: pd.DataFrame) -> None:
    table.to_csv(HERE / "grader.csv", index=False, lineterminator="\n")
    is_repeated = (table["name"] == "all") & (table["by"] == "form")
    page = PAGE.read_text("utf-8")
    for name, shown in (("grader", readable(table[~is_repeated])), ("first-runs", first_runs())):
        text = markdown_table(shown, list(shown))
        pattern = f"(<!-- {name} -->\n).*?(\n?<!-- /{name} -->)"
        page = re.sub(pattern, rf"\g<1>{text}\n<!-- /{name} -->", page, flags=re.DOTALL)
    PAGE.write_text(page, encoding="utf-8")


def speed(cases: pd.DataFrame) -> None:
    rows = []
    for number in range(N_TIMED):
        case = cases.iloc[number % len(cases)]
        words = f"Response {number}. {case['response']} ".split(" ")
        text = " ".join((words * (WORDS // len(words) + 1))[:WORDS])
        rows.append((text, case["facts"], case["instruction"]))
    start = time.process_time()
    for row in rows:
        grade(*row)
    print(f"{N_TIMED} responses of {WORDS} words: {time.process_time() - start:.1f} s of one core")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--misses", action="store_true")
    parser.add_argument("--speed", action="store_true")
    options = parser.parse_args()
    cases = read_cases(options.files or [PUBLISHED])
    if options.speed:
        return speed(cases)
    table = pd.DataFrame([row for by in ("kind", "form") for row in shares(cases, by)])
    print(readable(table).to_string(index=False), "\n")
    if not options.files:
        publish(table)
    for case in cases[cases["passed"] != cases["correct"]].itertuples() if options.misses else ():
        verdict = "lost" if case.correct else "passed"
        print(f"{verdict} [{case.form}] {case.instruction}\n  {json.dumps(case.facts)[:300]}")
        print(f"  {case.response!r}\n  {case.grade}\n")


if __name__ == "__main__":
    main()
