"""A synthetic MedAlign release: simulated patients, their records, instructions and answer key.

`catalogue` has the clinical vocabulary; `simulate` decides what is true of a patient, `encounters`
writes it down, and the `ask_*` modules ask about it; `instructions` chooses a release's questions,
`submissions` rewords some as near-duplicates, and `release` writes the files. Nothing in it comes
from MedAlign's data.
"""

from medalign_utils.synthetic.release import GENERATOR_VERSION, PUBLIC_SEED, write_release

__all__ = ["GENERATOR_VERSION", "PUBLIC_SEED", "write_release"]
