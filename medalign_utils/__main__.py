"""The command line: `python -m medalign_utils check`, `plan`, `report`, `synthesize` and more."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medalign_utils.errors import MedAlignError


def _check(args: argparse.Namespace) -> int:
    from medalign_utils.curation.validation import check_release

    columns = dict(pair.partition("=")[::2] for pair in args.column)
    report = check_release(args.release, columns=columns)
    width = report.summary["what"].str.len().max()
    for what, found in report.summary.itertuples(index=False):
        print(f"{what:{width}}  {found}")
    n = len(report.problems)
    print(f"{n} problem{'s' * (n > 1)}" if n else "no problems")
    for problem in report.problems:
        print(problem)
    return int(bool(report.problems))


def _plan(args: argparse.Namespace) -> int:
    from medalign_utils import paths
    from medalign_utils.config import answering_systems, load_experiment, load_system
    from medalign_utils.data.release import load_release
    from medalign_utils.generation.cost import plan_experiment, report

    experiment = load_experiment(args.experiment, overrides={"responses": "generated"})
    folder = paths.resolve(experiment["release"])
    paths.require(experiment["experiment"], folder)
    release = load_release(folder, columns=experiment["columns"])
    systems = [load_system(name) for name in answering_systems(experiment)]
    plan = plan_experiment(release, systems, experiment["experiment"], progress=True)
    print(report(plan))
    return int((plan["problem"] != "").any())


def _report(args: argparse.Namespace) -> int:
    import yaml

    from medalign_utils.config import answering_systems, load_experiment, load_system
    from medalign_utils.reporting.report import write_report

    experiment = load_experiment(args.experiment, yaml.safe_load(args.parameters))
    systems = {name: load_system(name) for name in answering_systems(experiment)}
    print(write_report(experiment, systems))
    return 0


def _synthesize(args: argparse.Namespace) -> int:
    from medalign_utils.synthetic import write_release

    sizes = {"patients": args.patients, "instructions": args.instructions, "scale": args.scale}
    release = write_release(args.out, seed=args.seed, progress=True, **sizes)
    found = f"{release['patients']} patients, {release['instructions']} instructions"
    print(f"{args.out}: {found}, seed {args.seed}")
    return 0


def _run(args: argparse.Namespace) -> int:
    import yaml

    from medalign_utils.reporting.jobs import run_notebook

    go_on = run_notebook(
        args.notebook,
        args.executed,
        yaml.safe_load(args.parameters),
        status=args.status,
        after=args.after,
        makes=args.makes,
        was_killed=args.attempt > 1,
    )
    return int(not go_on)


def _join(args: argparse.Namespace) -> int:
    from medalign_utils.reporting.jobs import join_shards

    join_shards(args.after, args.makes, args.status)
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the exit status.

    It is 0 if all is well, 1 if `check` or `plan` finds problems or a job of the workflow fails, 2
    after a `MedAlignError`.
    """
    parser = argparse.ArgumentParser(prog="python -m medalign_utils", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str) -> Callable[..., Any]:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command.add_argument

    argument = add("check", _check, "read a whole release; print what it holds and what is wrong")
    argument("release", type=Path, help="the release's folder")
    argument(
        "--column",
        action="append",
        default=[],
        metavar="OURS=THEIRS",
        help="the release's name for a column of ours, e.g. rank=my_rank; may be repeated",
    )

    argument = add(
        "plan",
        _plan,
        "print what an experiment's systems will take: prompts, tokens, what is cut off, time, "
        "cost; packs every prompt as a run would and sends nothing",
    )
    argument("experiment", help="its file, e.g. params/paper.yaml")

    argument = add("report", _report, "write a run's report from what it has; name what it lacks")
    argument("experiment", help="its file, e.g. params/demo.yaml")
    yaml_help = "parameters that override the file"
    argument("-y", dest="parameters", default="{}", metavar="YAML", help=yaml_help)

    argument = add("synthesize", _synthesize, "write a synthetic release of any size")
    argument("out", type=Path, help="folder to write, e.g. data/demo")
    argument(
        "--scale",
        default="demo",
        choices=("demo", "release"),
        help="demo, or the published size: 276 patients, 983 instructions (minutes, 0.5 GB)",
    )
    argument("--patients", type=int, help="of the demo scale, default 24")
    argument("--instructions", type=int, help="of the demo scale, default 120")
    argument("--seed", type=int, default=1, help="default %(default)s")

    argument = add("run", _run, "a job of the workflow: execute a notebook")
    argument("notebook", type=Path, help="e.g. notebooks/05_evaluate_systems.ipynb")
    argument("executed", type=Path, help="its executed copy")
    argument("-y", dest="parameters", default="{}", metavar="YAML")
    argument("--attempt", type=int, default=1, help="from 2: only record that 1 was killed")
    for job in (argument, add("join", _join, "a job of the workflow: join a system's shards")):
        job("--status", type=Path, required=True, help="what became of it, JSON")
        job("--after", type=Path, nargs="*", default=[], help="earlier statuses")
        job("--makes", type=Path, nargs="*", default=[], help="files, in order")

    args = parser.parse_args(argv)
    try:
        return args.run(args)
    except MedAlignError as error:
        print(f"medalign_utils {args.command}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
