"""The page on which clinicians review: widgets, and the server that gives each rater a link."""
