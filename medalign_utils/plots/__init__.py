"""Figures: functions that take a table and return matplotlib `Axes`; one module per subject."""

# ruff: noqa: F401
from medalign_utils.plots.cost import accuracy_by_cost
from medalign_utils.plots.errors import accuracy_by_prompt, accuracy_by_tokens, outcome_shares
from medalign_utils.plots.fairness import (
    audit_power,
    counterfactual_changes,
    gap_matrix,
    gaps_by_group,
    lengths_by_group,
)
from medalign_utils.plots.labels import accuracy_by_labels
from medalign_utils.plots.metrics import (
    correlation_with_paper,
    metric_correlation,
    metric_differences,
)
from medalign_utils.plots.release import (
    deduplication,
    ehr_lengths,
    event_years,
    instructions_by,
    match_recall,
    note_types,
)
from medalign_utils.plots.style import side_by_side
from medalign_utils.plots.systems import (
    accuracy_by_context,
    accuracy_by_group,
    accuracy_by_system,
    head_to_head,
    human_evaluation,
    paired_differences,
)
