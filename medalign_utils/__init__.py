"""MedAlign: load a release, run systems on it, score and evaluate their responses.

`import medalign_utils as ma` gives a script all it needs. The import is quick and loads neither
torch nor transformers, because each name is loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medalign_utils.data.ehr import read_events as read_events
    from medalign_utils.data.release import Release as Release
    from medalign_utils.data.release import load_release as load_release
    from medalign_utils.evaluation.answers import grade_answers as grade_answers
    from medalign_utils.evaluation.metric_correlation import correlate as correlate
    from medalign_utils.evaluation.ratings import rate as rate
    from medalign_utils.evaluation.systems import evaluate as evaluate
    from medalign_utils.generation.runner import run_system as run_system
    from medalign_utils.grading import grade as grade
    from medalign_utils.metrics.scoring import score as score
    from medalign_utils.prompts.context import pack_prompt as pack_prompt
    from medalign_utils.run import Run as Run
    from medalign_utils.stats.bootstrap import Bootstrap as Bootstrap

__version__ = "0.3.0"

# Name -> defining module. The workflow reads this to find what a notebook depends on.
_LAZY = {
    "Bootstrap": "medalign_utils.stats.bootstrap",
    "Release": "medalign_utils.data.release",
    "Run": "medalign_utils.run",
    "correlate": "medalign_utils.evaluation.metric_correlation",
    "evaluate": "medalign_utils.evaluation.systems",
    "grade": "medalign_utils.grading",
    "grade_answers": "medalign_utils.evaluation.answers",
    "load_release": "medalign_utils.data.release",
    "pack_prompt": "medalign_utils.prompts.context",
    "rate": "medalign_utils.evaluation.ratings",
    "read_events": "medalign_utils.data.ehr",
    "run_system": "medalign_utils.generation.runner",
    "score": "medalign_utils.metrics.scoring",
}
__all__ = [*_LAZY, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'medalign_utils' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
