"""Fairness audits: groups of patients, and answers to records with rewritten demographics."""
