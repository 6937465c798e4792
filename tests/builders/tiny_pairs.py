import numpy as np
import pandas as pd


def tiny_pairs() -> pd.DataFrame:
    """Return 4 answers each to 12 patients' instructions; an answer's content decides its label."""
    rng = np.random.default_rng(1)
    rows = []
    for instruction in range(12):
        for label in (0.0, 0.0, 1.0, 1.0):
            verdict = "high" if label else "normal"
            rows.append(
                {
                    "source": f"How was creatinine in {2000 + instruction}?",
                    "prediction": f"It was {verdict}{' as noted' * rng.integers(0, 8)}.",
                    "reference": "The creatinine was high.",
                    "label": label,
                    "instruction_id": str(instruction),
                    "person_id": f"p{instruction}",
                    "fold": "train" if instruction < 8 else "held_out",
                }
            )
    return pd.DataFrame(rows)
