"""A synthetic MedAlign release: simulated patients, their records, instructions and answer key.

`catalogue` is the clinical vocabulary, `simulate` what is true of a patient, `encounters` how
it is written down, `ask_*` what is asked of it, `instructions` what a release asks,
`submissions` what clinicians had submitted, `release` the files.
Nothing in it comes from MedAlign's data.
"""

from medalign_utils.synthetic.release import GENERATOR_VERSION, write_release

__all__ = ["GENERATOR_VERSION", "write_release"]
