"""Prompts: an instruction and as much of the patient's EHR as the context holds."""
