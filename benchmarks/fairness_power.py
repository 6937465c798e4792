"""Would an audit of one release notice whom a system fails? What notebook 07 does, at length.

`python benchmarks/fairness_power.py` writes benchmarks/fairness_power.csv: simulated releases of
276 patients and 303 instructions with six systems each. The share of systems that fail nobody and
yet raise an alarm, over 300 releases; and the share found of those that fail one group by 20
points, over 100 releases for each size of the group. Both for a system that is correct in 65 % of
the others' instructions and in 35 %, and with verdicts on one patient more alike. About 3 minutes
on one core.
"""

import argparse
from pathlib import Path

import pandas as pd

from medalign_utils.fairness.power import simulate_audits

SIZES = (20, 30, 45, 69, 100, 138)
# Share correct of those not failed, correlation of two verdicts on one patient, sizes.
DESIGNS = ((0.65, 0.1, SIZES), (0.35, 0.1, SIZES[3::2]), (0.65, 0.3, SIZES[3::2]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="without a gap; default %(default)s")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/fairness_power.csv"))
    args = parser.parse_args()
    tables = []
    for accuracy, correlation, sizes in DESIGNS:
        design = {"accuracy": accuracy, "correlation": correlation}
        tables.append(simulate_audits([None], seeds=args.seeds, **design))
        tables.append(simulate_audits(sizes, seeds=args.seeds // 3, **design))
    table = pd.concat(tables, ignore_index=True)
    table.to_csv(args.out, index=False, float_format="%.4f")
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
