"""The command line: `python -m medalign_utils check`, `plan`, `report`, `synthesize` and more."""

import argparse
import sys
from pathlib import Path

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
    from medalign_utils.config import load_experiment, load_system
    from medalign_utils.data.release import load_release
    from medalign_utils.generation.cost import plan_experiment, report

    experiment = load_experiment(args.experiment, overrides={"responses": "generated"})
    folder = paths.resolve(experiment["release"])
    paths.require(experiment["experiment"], folder)
    release = load_release(folder, columns=experiment["columns"])
    systems = [load_system(name) for name in experiment["systems"]]
    plan = plan_experiment(release, systems, experiment["experiment"], progress=True)
    print(report(plan))
    return int((plan["problem"] != "").any())


def _report(args: argparse.Namespace) -> int:
    import yaml

    from medalign_utils.config import load_experiment, load_system
    from medalign_utils.reporting.report import write_report

    experiment = load_experiment(args.experiment, yaml.safe_load(args.parameters))
    names = [] if experiment["responses"] == "released" else experiment["systems"]
    print(write_report(experiment, {name: load_system(name) for name in names}))
    return 0


def _synthesize(args: argparse.Namespace) -> int:
    from medalign_utils.synthetic import write_release

    release = write_release(
        args.out,
        patients=args.patients,
        instructions=args.instructions,
        seed=args.seed,
        scale=args.scale,
        progress=True,
    )
    print(
        f"{args.out}: {release['patients']} patients, {release['instructions']} instructions, "
        f"seed {args.seed}"
    )
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
    """Runs one command; returns the exit status.

    It is 0 where all is well, 1 where `check` or `plan` finds problems, 2 after an error of the
    package's.
    """
    parser = argparse.ArgumentParser(prog="python -m medalign_utils", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    check = commands.add_parser(
        "check", help="read all of a release once: what it holds, and everything wrong with it"
    )
    check.add_argument("release", type=Path, help="the release's folder")
    check.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="OURS=THEIRS",
        help="the release's name for a column of ours, e.g. rank=my_rank; may be repeated",
    )
    check.set_defaults(run=_check)

    plan = commands.add_parser(
        "plan",
        help="what an experiment's systems will take: prompts, tokens, what is cut off, time, cost",
        description="Pack every prompt of every system, as a run would, and count. Sends nothing.",
    )
    plan.add_argument("experiment", help="its file, e.g. params/paper.yaml")
    plan.set_defaults(run=_plan)

    report = commands.add_parser(
        "report", help="write a run's report from what it has; name what it lacks"
    )
    report.add_argument("experiment", help="its file, e.g. params/demo.yaml")
    report.add_argument(
        "-y",
        dest="parameters",
        default="{}",
        metavar="YAML",
        help="parameters that the run had otherwise than its file says",
    )
    report.set_defaults(run=_report)

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
    release.set_defaults(run=_synthesize)

    run = commands.add_parser("run", help="a job of the workflow: execute a notebook")
    run.add_argument("notebook", type=Path, help="e.g. notebooks/05_evaluate_systems.ipynb")
    run.add_argument("executed", type=Path, help="its executed copy")
    run.add_argument("-y", dest="parameters", default="{}", metavar="YAML")
    run.add_argument("--attempt", type=int, default=1, help="from 2: only say that 1 was killed")
    run.set_defaults(run=_run)
    join = commands.add_parser("join", help="a job of the workflow: join a system's shards")
    join.set_defaults(run=_join)
    for job in (run, join):
        job.add_argument("--status", type=Path, required=True, help="what became of it, JSON")
        job.add_argument("--after", type=Path, nargs="*", default=[], help="earlier statuses")
        job.add_argument("--makes", type=Path, nargs="*", default=[], help="files, in order")

    args = parser.parse_args(argv)
    try:
        return args.run(args)
    except MedAlignError as error:
        print(f"medalign_utils {args.command}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
