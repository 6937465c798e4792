"""Writes the reports of imaging studies and endoscopies."""

from medalign_utils.synthetic import catalogue as cat
from medalign_utils.synthetic.patient import StudyDone
from medalign_utils.synthetic.sections import us_date
from medalign_utils.synthetic.wording import capitalized, counted


def report(s: StudyDone, earlier: StudyDone | None) -> tuple[str, ...]:
    """Return the lines of a study's report, which compares with the previous one."""
    head = f"{s.study.spellings[0].upper()} {us_date(s.time)}."
    before = earlier and us_date(earlier.time)
    if s.study is cat.CHEST_CT:
        compared = f"{before}, when the nodule measured {earlier.value} mm" if earlier else "none"
        return (
            f"{head} Comparison: {compared}.",
            "Findings: airways patent. No effusion. Heart size normal.",
            f"Impression: Right upper lobe nodule measures {s.value} mm.",
        )
    if s.study is cat.ECHO:
        compared = f" Prior study {before} had an LVEF of {earlier.value}%." if earlier else ""
        return (
            f"{head}{compared}",
            "Normal chamber sizes. No pericardial effusion. Valves without significant stenosis.",
            f"LVEF {s.value}%.",
        )
    if s.study is cat.COLONOSCOPY:
        return (
            f"{head} Preparation good. Cecum reached.",
            f"Findings: {counted(s.value, 'polyp')}, removed by snare. No masses.",
            f"Repeat colonoscopy in {counted(s.years_to_next, 'year')}.",
        )
    return (
        f"{head} Standard technique.",
        "No other significant finding.",
        f"Impression: {capitalized(s.finding[0])}.",
    )
