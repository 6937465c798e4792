"""Load a release: its tables, reviews and EHRs; decide what may be published."""
