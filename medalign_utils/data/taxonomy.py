"""The benchmark's taxonomy of instructions: 20 subcategories in 6 categories."""

# Subcategory -> category, under the paper's names.
SUBCATEGORIES = {
    "retrieve medical history": "Retrieve & Summarize",
    "retrieve imaging studies": "Retrieve & Summarize",
    "retrieve social history": "Retrieve & Summarize",
    "retrieve medication information": "Retrieve & Summarize",
    "retrieve laboratory studies": "Retrieve & Summarize",
    "provide patient education information": "Retrieve & Summarize",
    "retrieve appointment information": "Retrieve & Summarize",
    "retrieve demographics": "Retrieve & Summarize",
    "retrieve vitals": "Retrieve & Summarize",
    "retrieve genetic and family history": "Retrieve & Summarize",
    "retrieve institutional policies": "Retrieve & Summarize",
    "retrieve provider referrals": "Retrieve & Summarize",
    "retrieve communications with patient": "Retrieve & Summarize",
    "retrieve coding & billing information": "Retrieve & Summarize",
    "other": "Other",
    "calculate numerical measures": "Calculation & Scoring",
    "provide risk assessment": "Calculation & Scoring",
    "provide diagnosis assistance": "Diagnosis Support",
    "determine plan of care": "Care Planning",
    "translate materials": "Translation",
}
