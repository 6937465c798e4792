import pytest

from medalign_utils.fairness import perturbation
from medalign_utils.fairness.perturbation import Person, rewrite

WOMAN, MAN = Person(gender="FEMALE"), Person(gender="MALE")
WHITE, BLACK = Person(race="White"), Person(race="Black or African American")
HISPANIC = Person(ethnicity="Hispanic or Latino")
NOT_HISPANIC = Person(ethnicity="Not Hispanic or Latino")
BORN_1950 = Person(birthdate="1950-03-02")


@pytest.mark.parametrize(
    ("person", "before", "after"),
    [
        (WOMAN, "She hurt herself; the choice is hers.", "He hurt himself; the choice is his."),
        (MAN, "He hurt himself; the choice is his.", "She hurt herself; the choice is hers."),
        # `her` is an object before punctuation, the end and function words, else a possessive.
        (WOMAN, "Told her that her left arm is fine.", "Told him that his left arm is fine."),
        (WOMAN, "Seen by her. Her son drove her", "Seen by him. His son drove him"),
        (MAN, "Told him that his left arm is fine.", "Told her that her left arm is fine."),
        (WOMAN, "63 yo F with CHF", "63 yo M with CHF"),
        (WOMAN, "63F with CHF, T 101F with chills", "63M with CHF, T 101F with chills"),
        (MAN, "A 63-year-old man. Sex: M. Vit. M", "A 63-year-old woman. Sex: F. Vit. M"),
        (WOMAN, "F with CHF, B12 and F", "M with CHF, B12 and F"),  # as a quote may begin
        (MAN, "yo M with CHF", "yo F with CHF"),
        (WOMAN, "Mrs. Roe, a pleasant lady", "Mr. Roe, a pleasant gentleman"),
        (MAN, "Mr. Roe, Latino male", "Ms. Roe, Latina female"),
        (WOMAN, "she's well, SHE is an acronym", "he's well, SHE is an acronym"),
        (WOMAN, "SHE DENIES PAIN IN HER ARM", "HE DENIES PAIN IN HIS ARM"),
        (WOMAN, "HER-2 positive, MS since 2009, QT 5 ms", "HER-2 positive, MS since 2009, QT 5 ms"),
        (MAN, "HE on lactulose; mild MR", "HE on lactulose; mild MR"),
        (MAN, "His bundle: see bundle of His", "His bundle: see bundle of His"),
        (WOMAN, "if he/she agrees, s/he signs", "if he/she agrees, s/he signs"),
        (WOMAN, "gender: FEMALE", "gender: MALE"),
        # A person of the other gender is not the patient.
        (WOMAN, "Her husband says he snores.", "His husband says he snores."),
        (WOMAN, "Her husband says she snores.", "His husband says he snores."),
        # After a relative of the patient's gender it is ambiguous; the next sentence is hers.
        (WOMAN, "Her mother says she has diabetes. She is well.",
         "His mother says she has diabetes. He is well."),
        (MAN, "His mother says he is well", "Her mother says she is well"),
        (WOMAN, "a female cousin of hers", "a female cousin of his"),
        (WOMAN, "This woman with her mother", "This man with his mother"),
        (WOMAN, "FH: mother; she died.\nShe is well.", "FH: mother; she died.\nHe is well."),
        (WOMAN, "Family history:\nStroke; she died.\n\nShe",
         "Family history:\nStroke; she died.\n\nHe"),
        (Person(gender="UNKNOWN"), "She is well.", "She is well."),
    ],
)  # fmt: skip
def test_gender_rules(person, before, after):
    assert rewrite(before, "gender", person) == after


@pytest.mark.parametrize(
    ("change", "person", "before", "after"),
    [
        ("race", WHITE, "63 yo white man, Race: White",
         "63 yo black man, Race: Black or African American"),
        ("race", BLACK, "63 yo black man, Race: Black or African American",
         "63 yo white man, Race: White"),
        ("race", WHITE, "white count 9; Caucasian", "white count 9; African American"),
        ("race", BLACK, "black stools; African-American lady", "black stools; Caucasian lady"),
        ("race", BLACK, "black or African American, not White", "white, not White"),
        ("race", WHITE, "his black cousin, Caucasian uncle", "his black cousin, Caucasian uncle"),
        ("race", Person(race="Asian"), "Asian man", "Asian man"),
        ("ethnicity", HISPANIC, "ethnicity: Hispanic or Latino",
         "ethnicity: Not Hispanic or Latino"),
        ("ethnicity", NOT_HISPANIC, "Not Hispanic or Latino", "Hispanic or Latino"),
        ("ethnicity", HISPANIC, "Hispanic woman, a Latina", "non-Hispanic woman, a non-Hispanic"),
        ("ethnicity", NOT_HISPANIC, "non-Hispanic; Hispanic nurse", "Hispanic; Hispanic nurse"),
        ("age", BORN_1950, "63-year-old, 63 yo, 63 y.o., 63 years old",
         "83-year-old, 83 yo, 83 y.o., 83 years old"),
        ("age", BORN_1950, "63F with CHF, in her 60s, aged 63",
         "83F with CHF, in her 80s, aged 83"),
        ("age", BORN_1950, "Age: 9, 63 years of age at 63.", "Age: 29, 83 years of age at 63."),
        ("age", BORN_1950, "DOB: 03/02/1950; birthdate: 1950-03-02",
         "DOB: 03/02/1930; birthdate: 1930-03-02"),
        # Ranges, other ages and other numbers.
        ("age", BORN_1950, "age 50 to 75, age 5 years or older",
         "age 50 to 75, age 5 years or older"),
        ("age", BORN_1950, "aged 50-75, age 65+, stage 3, dx 2001",
         "aged 50-75, age 65+, stage 3, dx 2001"),
        ("age", BORN_1950, "18-month-old stent, 98F with chills",
         "18-month-old stent, 98F with chills"),
        ("age", BORN_1950, "63 yo with a 12-year-old son", "83 yo with a 12-year-old son"),
        ("age", BORN_1950, "Mother died at age 60. He is 63 yo.",
         "Mother died at age 60. He is 83 yo."),
        ("age", BORN_1950, "FH: stroke (dx age 52).", "FH: stroke (dx age 52)."),
        ("age", Person(), "63 yo", "63 yo"),
    ],
)  # fmt: skip
def test_rules_of_race_ethnicity_and_age(change, person, before, after):
    assert rewrite(before, change, person) == after


def test_offsets_refer_to_the_original_text():
    text = "She told her\tthat Ms. Roe (63 yo F) left."
    found = perturbation.replacements(text, "gender", WOMAN)
    assert [text[r.offset : r.offset + len(r.before)] for r in found] == [r.before for r in found]
    assert [r.after for r in found] == ["He", "him", "Mr", "M"]
    assert perturbation.apply(text, found) == "He told him\tthat Mr. Roe (63 yo M) left."


def test_a_leap_day_keeps_the_age():
    # 1900 was not a leap year: someone born on 29 February has birthdays on 1 March then.
    assert perturbation.swapped("1920-02-29", "age") == "1900-03-01"
    assert perturbation.swapped("1952-02-29 00:00:00", "age") == "1932-02-29 00:00:00"
    assert perturbation.swapped("1952-02-30", "age") is None
