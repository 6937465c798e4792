"""The words that stand for a missing value, in EHRs and in tables."""

# What pandas, numpy, SQL, Python and spreadsheets write. Lower-case "none" is an answer.
MISSING = frozenset(
    "NULL null Null NaN nan NAN -nan -NaN None N/A n/a <NA> #N/A #NA NaT \\N".split()
)
# R's word; in an EHR it may be sodium.
MISSING_IN_TABLES = MISSING | {"NA"}
