"""The curation of a release: what it contains, what is wrong with it, and the paper's steps."""
