"""The commands of `python -m medalign_utils review`: one function each, added in `add_commands`."""

import argparse
from collections.abc import Callable
from pathlib import Path


def add_commands(review: argparse.ArgumentParser) -> None:
    """Add the commands to the parser of `review`; each sets `run`, which returns an exit status."""
    commands = review.add_subparsers(dest="review", required=True, metavar="command")

    def add(name: str, run: Callable, text: str, example: str = "params/demo.yaml") -> Callable:
        epilog = f"example: python -m medalign_utils review {name} {example}"
        command = commands.add_parser(name, help=text, description=text, epilog=epilog)
        command.set_defaults(run=run)
        command.add_argument("experiment", help="the experiment's YAML file")
        return command.add_argument

    add("status", _status, "say how far each rater is, and how long the rest will take")


def folder_of(args: argparse.Namespace) -> Path:
    """Return the folder of the review of a command's experiment, whose plan need not exist."""
    from medalign_utils.config import load_experiment
    from medalign_utils.review.folder import review_folder

    return review_folder(load_experiment(args.experiment)["experiment"])


def _status(args: argparse.Namespace) -> int:
    from medalign_utils.review.progress import progress

    table = progress(folder_of(args)).round(1).astype(object)
    print(table.where(table.notna(), "").to_string(index=False))
    print("minutes per item: the median of those done, without pauses")
    return 0
