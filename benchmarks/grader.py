"""How often the grader is wrong about responses that people judged.

`python benchmarks/grader.py FILE...` reads JSONL with instruction, facts, response, correct and,
optionally, form. It prints right answers that are lost and wrong ones that pass, with n and Wilson
95 % intervals, by kind of fact and by form; `--misses` lists them. `--speed` times 10,000
responses of 200 words on one core instead.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from medalign_utils.grading import grade

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
        row = {by: name}
        for label, of, is_miss in (("lost", True, False), ("passed", False, True)):
            chosen = group[group["correct"] == of]
            n, misses = len(chosen), int((chosen["passed"] == is_miss).sum())
            low, high = proportion_confint(misses, n, method="wilson") if n else (0, 1)
            text = f"{misses}/{n} = {misses / n:.1%} ({low:.1%} to {high:.1%})" if n else "-"
            row |= {f"right ones {label}" if of else f"wrong ones {label}": text}
        yield row


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
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--misses", action="store_true")
    parser.add_argument("--speed", action="store_true")
    options = parser.parse_args()
    cases = read_cases(options.files)
    if options.speed:
        return speed(cases)
    pd.set_option("display.width", 200, "display.max_rows", None)
    for by in ("kind", "form") if cases["form"].nunique() < 30 else ("kind",):
        print(pd.DataFrame(shares(cases, by)).to_string(index=False), "\n")
    for case in cases[cases["passed"] != cases["correct"]].itertuples() if options.misses else ():
        verdict = "lost" if case.correct else "passed"
        print(f"{verdict} [{case.form}] {case.instruction}\n  {json.dumps(case.facts)[:300]}")
        print(f"  {case.response!r}\n  {case.grade}\n")


if __name__ == "__main__":
    main()
