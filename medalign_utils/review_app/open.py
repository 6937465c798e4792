"""What notebook 10 shows: a rater's page, as the review's plan asks for."""

import os
from html import escape

import ipywidgets as widgets
from IPython.display import HTML

from medalign_utils import paths
from medalign_utils.errors import MedAlignError
from medalign_utils.review import folder


def open_review(experiment: str, rater: str = "") -> "widgets.DOMWidget | HTML":
    """Return a rater's page; without a plan or a rater, a sentence that says how to begin.

    The server of `make review` names both in the environment. An error is a sentence, too: the page
    has no room for a traceback.
    """
    try:
        return _page(experiment, rater)
    except MedAlignError as error:
        return _say(str(error))


def _page(experiment: str, rater: str) -> "widgets.DOMWidget | HTML":
    experiment = os.environ.get("MEDALIGN_REVIEW") or paths.without_limit(experiment)
    rater = rater or os.environ.get("MEDALIGN_RATER", "")
    raters = raters_of(experiment)
    if not raters:
        return _say(
            f"No review of {experiment} is planned yet: `python -m medalign_utils review plan "
            f"params/{experiment}.yaml --raters 3` plans one."
        )
    if rater not in raters:
        asked = f"{rater} is no rater of this review. " if rater else ""
        return _say(f"{asked}Set `rater` above to one of: {', '.join(raters)}.")
    mode = folder.read_plan(folder.review_folder(experiment))["mode"]
    if mode == "reference":
        from medalign_utils.review_app.reference import ReferencePage

        return ReferencePage(experiment, rater)
    if mode == "submit":
        from medalign_utils.review_app.submit import SubmissionPage

        return SubmissionPage(experiment, rater)
    from medalign_utils.review_app.judge import JudgingPage

    return JudgingPage(experiment, rater)


def raters_of(experiment: str) -> list[str]:
    """Return the codes of a review's raters, none if no review is planned."""
    place = folder.review_folder(experiment)
    return folder.read_plan(place)["raters"] if folder.plan_file(place).is_file() else []


def _say(sentence: str) -> HTML:
    return HTML(f"<p>{escape(sentence)}</p>")
