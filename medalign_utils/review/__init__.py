"""What clinicians judge and have judged, as plain files: plans, items, journals and ratings."""
