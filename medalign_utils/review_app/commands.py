"""The commands of `python -m medalign_utils review`: one function each, added in `add_commands`."""

import argparse
import socket
from collections.abc import Callable
from pathlib import Path

from medalign_utils.errors import MedAlignError
from medalign_utils.review.state import MODES, WHEN_REFERENCE

FIRST_PORT = 8900  # of the raters' servers
_RATERS = 3  # of the plan that `serve` makes if there is none


def add_commands(review: argparse.ArgumentParser) -> None:
    """Add the commands to the parser of `review`; each sets `run`, which returns an exit status."""
    commands = review.add_subparsers(dest="review", required=True, metavar="command")

    def add(name: str, run: Callable, text: str, example: str = "params/demo.yaml") -> Callable:
        epilog = f"example: python -m medalign_utils review {name} {example}"
        command = commands.add_parser(name, help=text, description=text, epilog=epilog)
        command.set_defaults(run=run)
        command.add_argument("experiment", help="the experiment's YAML file")
        return command.add_argument

    argument = add("plan", _plan, "decide who judges what", "params/demo.yaml --raters 3")
    argument("--raters", type=int, required=True, help="how many; their codes are R1, R2 ...")
    mode_help = "judge responses; write a reference where there is none; submit instructions"
    argument("--mode", default="judge", choices=MODES, help=mode_help)
    reference_help = "when raters see it: after a first verdict, before, or never"
    argument("--reference", default="after", choices=WHEN_REFERENCE, help=reference_help)
    overlap_help = (
        "instructions that three raters judge; default: a fifth, at most 50. The paper had nine "
        "raters and 50 such instructions, as far as we remember: we could not verify it"
    )
    argument("--overlap", type=int, metavar="N", help=overlap_help)
    n_help = "instructions in all, drawn by category; default: all that systems answer"
    argument("--instructions", type=int, dest="n", metavar="N", help=n_help)
    width_help = "as many as give the 95 %% interval of an accuracy this width, such as 0.1"
    argument("--width", type=float, help=width_help)
    weights_help = "CSV with instruction_id and weight: how likely each is drawn; others are not"
    argument("--weights", type=Path, metavar="FILE", help=weights_help)
    per_rater_help = "about so many instructions for each, with the overlap; default: all"
    argument("--per-rater", type=int, metavar="N", help=per_rater_help)
    argument("--training", type=int, metavar="N", help="items with feedback, for each")
    argument("--repeats", type=int, metavar="N", help="hidden repeats, for each")
    argument("--seed", type=int, help="default: the experiment's")

    argument = add("serve", _serve, "show each rater their own page, on this machine, until Ctrl-C")
    port_help = (
        f"first of the ports, one per rater; those in use are left out; default: {FIRST_PORT}"
    )
    argument("--port", type=int, default=FIRST_PORT, help=port_help)
    add("status", _status, "say how far each rater is, and how long the rest will take")

    text = "write what raters said: ratings as a release's table, or what they wrote as a release"
    argument = add("export", _export, text)
    out_help = "of ratings: a folder, or a .tsv, .json or .xlsx file; default: reviews/.../export"
    argument("out", nargs="?", type=Path, help=out_help)
    text = "plan another pass over what raters disagree on or flagged"
    argument = add("adjudicate", _adjudicate, text)
    argument("--rater", default="A1", help="the adjudicator's code; default: A1")

    rater = commands.add_parser("rater")  # a rater's server, which `serve` starts
    rater.add_argument("descriptor", type=int)
    rater.add_argument("folder")
    rater.set_defaults(run=_serve_rater)


def folder_of(args: argparse.Namespace) -> Path:
    """Return the folder of the review of a command's experiment, whose plan need not exist."""
    from medalign_utils.config import load_experiment
    from medalign_utils.review.folder import review_folder

    return review_folder(load_experiment(args.experiment)["experiment"])


def _plan(args: argparse.Namespace) -> int:
    from medalign_utils.config import load_experiment
    from medalign_utils.paths import short
    from medalign_utils.review.candidates import read_weights
    from medalign_utils.review.folder import review_folder
    from medalign_utils.review.plan import make_plan, require_not_begun, write_plan
    from medalign_utils.review.sample_size import CORRELATION, CORRELATIONS
    from medalign_utils.run import Run

    if args.n and args.width:
        raise MedAlignError("`--instructions` and `--width` both set the number of instructions")
    run = Run.of(load_experiment(args.experiment))
    require_not_begun(review_folder(run.experiment))
    names = ("mode", "reference", "n", "width", "overlap", "per_rater", "training", "repeats")
    options = {name: getattr(args, name) for name in (*names, "seed")}
    weights = args.weights and read_weights(args.weights, run.release)
    plan = make_plan(run, args.raters, weights=weights, **options)
    if plan.enough:
        print(
            "Mean width of the 95 % interval of an accuracy of 50 %, if verdicts on a patient's "
            f"instructions correlate by {', '.join(map(str, CORRELATIONS))}; "
            f"{CORRELATION} is taken:"
        )
        print(plan.enough.table.to_string(index=False, float_format="{:.3f}".format), end="\n\n")
    print(plan.table.to_string(index=False))
    print(*plan.notes, sep="\n")
    # Submitting instructions takes no tables of a release.
    why = "clinicians' words" if args.mode == "submit" else run.release.why_restricted
    print(f"{short(write_plan(plan, why_restricted=why))}: written")
    return 0


def _export(args: argparse.Namespace) -> int:
    from medalign_utils.config import load_experiment
    from medalign_utils.curation.from_review import export_curation
    from medalign_utils.paths import short
    from medalign_utils.review.export import export_review
    from medalign_utils.review.folder import read_plan
    from medalign_utils.run import Run

    experiment = load_experiment(args.experiment)
    folder = folder_of(args)
    if read_plan(folder)["mode"] == "judge":
        exported = export_review(Run.of(experiment), args.out)
    elif args.out:
        raise MedAlignError("only ratings are written to another place; leave out the folder")
    else:
        exported = export_curation(folder, experiment["rouge_threshold"])
    print(*exported.notes, sep="\n")
    for file, n in exported.files.items():
        print(f"{short(file)}: {n:,} rows")
    return 0


def _adjudicate(args: argparse.Namespace) -> int:
    from medalign_utils.config import load_experiment
    from medalign_utils.review.adjudication import add_adjudication
    from medalign_utils.run import Run

    n = add_adjudication(Run.of(load_experiment(args.experiment)), args.rater)
    if not n:
        print("nothing to adjudicate: raters agree on what several judged, and flagged nothing new")
        return 0
    print(f"{n} items for {args.rater}; `make review` prints the link")
    return 0


def _status(args: argparse.Namespace) -> int:
    from medalign_utils.review.progress import progress

    table = progress(folder_of(args)).round(1).astype(object)
    print(table.where(table.notna(), "").to_string(index=False))
    print("minutes per item: the median of those done, without pauses")
    return 0


def _serve(args: argparse.Namespace) -> int:
    from medalign_utils.review.folder import plan_file
    from medalign_utils.review_app.server import keep_serving, serving

    folder = folder_of(args)
    if not plan_file(folder).is_file():
        print(f"No review of {folder.name} is planned yet: planning one for {_RATERS} raters.")
        parser = argparse.ArgumentParser()
        add_commands(parser)
        plan = parser.parse_args(["plan", args.experiment, "--raters", str(_RATERS)])
        plan.run(plan)
    print("Starting a server per rater ...", flush=True)
    try:
        with serving(folder.name, args.port) as servers:
            port = servers[0].port
            print("Give each rater their own link, and no other:", "", sep="\n")
            for server in servers:
                print(f"{server.rater}  {server.link}")
            print(
                "",
                "Links stay valid when the review is started again, and ports if they are free.",
                "On another machine, a rater first runs, with the port of their link,",
                f"`ssh -N -L {port}:127.0.0.1:{port} {socket.gethostname()}`,",
                "and then opens the link there.",
                "Ctrl-C ends the servers. What a page calls saved stays saved.",
                sep="\n",
                flush=True,
            )
            keep_serving(servers)
    except KeyboardInterrupt:
        print("The servers have ended.")
    return 0


def _serve_rater(args: argparse.Namespace) -> int:
    from medalign_utils.review_app.server import serve_rater

    serve_rater(args.descriptor, args.folder)
    return 0
