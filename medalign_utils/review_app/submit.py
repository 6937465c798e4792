"""The page on which a clinician submits instructions, without seeing a record."""

from typing import Any

from medalign_utils.errors import MedAlignError
from medalign_utils.review.state import replay
from medalign_utils.review_app.panel import Panel
from medalign_utils.review_app.writing import WritingPage, scripts, state_of, styles

# Suggestions only; any text is a specialty.
SPECIALTIES = (
    "Anesthesia,Cardiology,Critical Care,Dermatology,Emergency Medicine,Family Medicine,"
    "Gastroenterology,Geriatrics,Hematology,Infectious Disease,Internal Medicine,Nephrology,"
    "Neurology,Obstetrics and Gynecology,Oncology,Ophthalmology,Orthopedics,Otolaryngology,"
    "Pathology,Pediatrics,Psychiatry,Pulmonology,Radiology,Rheumatology,Surgery,Urology"
).split(",")


class SubmissionPanel(Panel):
    """The whole page: specialty, instruction, and the instructions submitted so far."""

    _esm = scripts("submit.js")
    _css = styles()


class SubmissionPage(WritingPage):
    """The page of one rater."""

    panel_class = SubmissionPanel

    def greet(self) -> None:
        """Tell the panel what the rater has submitted."""
        about = {"rater": self.rater, "specialties": SPECIALTIES, "title": self.title}
        self.panel.send({"kind": "review"} | about | self.told())

    def told(self) -> dict[str, Any]:
        """Return the rater's instructions and drafts, but not those withdrawn."""
        items = [
            {"item": item, "written": written.submission | {"done": written.done}}
            | state_of(written)
            for item, written in replay(self.journal.lines).items()
            if written.submission
        ]
        return {"items": items}

    def require_item(self, item: str) -> None:
        """Raise a MedAlignError if an item is not one of this rater's."""
        if not item.startswith(f"{self.rater}-"):
            raise MedAlignError(f"item {item!r} is not rater {self.rater}'s")
