"""Would an audit of one release detect a gap between groups? Notebook 07's simulation, enlarged.

`python benchmarks/fairness_power.py` simulates releases of 276 patients and 303 instructions with
six systems and writes two shares to benchmarks/fairness_power.csv: false alarms among systems
without a gap (300 releases), and detections among systems 20 points worse in one group (100
releases per group size). Systems are correct for 65 % or 35 % of the other patients' instructions,
and verdicts on the same patient correlate weakly or more strongly. About 3 minutes on one core.
"""

import argparse
from pathlib import Path

import pandas as pd

from medalign_utils.fairness.power import simulate_audits

SIZES = (20, 30, 45, 69, 100, 138)
# Share correct outside the group, correlation between verdicts on the same patient, group sizes.
DESIGNS = ((0.65, 0.1, SIZES), (0.35, 0.1, SIZES[3::2]), (0.65, 0.3, SIZES[3::2]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="default %(default)s")
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
