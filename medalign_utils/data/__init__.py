"""Load a release: its tables, reviews and EHRs, and what of it may be published."""
