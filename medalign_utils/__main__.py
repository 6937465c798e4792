"""The command line: `python -m medalign_utils synthesize` and `comet-compact`."""

import argparse
import sys
from pathlib import Path

from medalign_utils.errors import MedAlignError


def _synthesize(args: argparse.Namespace) -> None:
    from medalign_utils.synthetic import write_release

    release = write_release(
        args.out,
        patients=args.patients,
        instructions=args.instructions,
        seed=args.seed,
        split=args.split,
        scale=args.scale,
        progress=True,
    )
    print(
        f"{args.out}: {release['patients']} patients, {release['instructions']} instructions, "
        f"seed {args.seed}"
    )


def _comet_compact(args: argparse.Namespace) -> None:
    from medalign_utils.comet_compact import train
    from medalign_utils.training_pairs import labelled_pairs

    pairs = labelled_pairs(patients=args.patients, instructions=args.instructions, seed=args.seed)
    train(pairs, args.out, seed=args.seed)


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit status, 2 after an error of the package's own."""
    parser = argparse.ArgumentParser(prog="python -m medalign_utils", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    release = commands.add_parser("synthesize", help="write a synthetic release of any size")
    release.add_argument("out", type=Path, help="folder to write, e.g. data/demo")
    release.add_argument(
        "--scale",
        default="demo",
        choices=("demo", "release"),
        help="demo, or the published size: 276 patients, 983 instructions (minutes, 0.5 GB)",
    )
    release.add_argument("--patients", type=int, help="of the demo scale, default 24")
    release.add_argument("--instructions", type=int, help="of the demo scale, default 120")
    release.add_argument("--seed", type=int, default=1, help="default %(default)s")
    release.add_argument(
        "--split",
        default="demo",
        choices=("demo", "train"),
        help="instruction templates: the benchmark's, or those that only train comet-compact",
    )
    release.set_defaults(run=_synthesize)

    comet = commands.add_parser("comet-compact", help="train the demo's COMET")
    comet.add_argument("out", type=Path, help="folder to write, e.g. models/comet-compact")
    comet.add_argument("--patients", type=int, default=10, help="of each training release")
    comet.add_argument("--instructions", type=int, default=100, help="of each training release")
    comet.add_argument("--seed", type=int, default=1, help="default %(default)s")
    comet.set_defaults(run=_comet_compact)

    args = parser.parse_args(argv)
    try:
        args.run(args)
    except MedAlignError as error:
        print(f"medalign_utils {args.command}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
