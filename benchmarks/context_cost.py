"""How much accuracy a shorter context costs the BM25 extractor, on 20 synthetic releases.

`python benchmarks/context_cost.py` writes benchmarks/context_cost.csv: for each seed, the share
correct with three contexts, and the paired differences from the full record with 95 % intervals,
which hold for both at once. It prints how many intervals exclude 0. About 12 minutes on one core.
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from medalign_utils import grading
from medalign_utils.config import load_system
from medalign_utils.data.release import load_release
from medalign_utils.evaluation import pairwise
from medalign_utils.generation import runner
from medalign_utils.stats.bootstrap import Bootstrap
from medalign_utils.synthetic import write_release

SYSTEMS = {"bm25-full": None, "bm25-8k": 8192, "bm25-2k": 2048}  # context in tokens
SHORTER = ("bm25-8k", "bm25-2k")


def one_release(seed: int, resamples: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        write_release(Path(folder), seed=seed)
        release = load_release(folder)
        responses = pd.concat(
            runner.run_system(release, load_system(s), Path(folder) / f"{s}.jsonl", progress=False)
            for s in SYSTEMS
        )
        key = grading.load_answer_key(release.answer_key_path)
        ratings = grading.rate_with_answer_key(responses, key, release.questions)
    row = {"seed": seed, "n": ratings["instruction_id"].nunique()}
    row |= {f"correct {s}": ratings.loc[ratings["system"] == s, "correct"].mean() for s in SYSTEMS}
    bootstrap = Bootstrap.seeded(resamples, seed)
    costs = pairwise.compare_contexts(
        ratings, release.instructions, SYSTEMS, bootstrap=bootstrap
    ).set_index("system")
    for system in SHORTER:
        cost = costs.loc[system]
        row |= {f"{system} - bm25-full": cost["difference"]}
        row |= {f"{system} low": cost["difference_low"], f"{system} high": cost["difference_high"]}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="default %(default)s")
    parser.add_argument("--resamples", type=int, default=2000, help="default %(default)s")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/context_cost.csv"))
    args = parser.parse_args()
    rows = [one_release(s, args.resamples) for s in tqdm(range(1, args.seeds + 1), "releases")]
    table = pd.DataFrame(rows)
    table.to_csv(args.out, index=False, float_format="%.4f")
    print(table.round(3).to_string(index=False))
    for system in SHORTER:
        below = int((table[f"{system} high"] < 0).sum())
        above = int((table[f"{system} low"] > 0).sum())
        print(
            f"{system} - bm25-full: mean {table[f'{system} - bm25-full'].mean():.3f}; "
            f"{below} of {len(table)} intervals lie below 0, {above} above"
        )


if __name__ == "__main__":
    main()
