"""Recognize what a file or folder is that is not what its name promises, and what to do with it."""

import re
from itertools import islice
from pathlib import Path

OPENING_BYTES = 4096  # of a file, which are enough to recognize it

_GZIP = b"\x1f\x8b"
_UNPACK = "unpack it and use the file inside"
_EXPORT = "export it as text in UTF-8 (.tsv, .csv or .json)"
# First bytes -> what the file is, and what to do.
_SIGNATURES = {
    _GZIP: ("a gzip archive", _UNPACK),
    b"BZh": ("a bzip2 archive", _UNPACK),
    b"\xfd7zXZ\x00": ("an xz archive", _UNPACK),
    b"\x28\xb5\x2f\xfd": ("a Zstandard archive", _UNPACK),
    b"7z\xbc\xaf\x27\x1c": ("a 7-Zip archive", _UNPACK),
    b"Rar!": ("a RAR archive", _UNPACK),
    b"%PDF": ("a PDF", _EXPORT),
    b"{\\rtf": ("a rich-text document", _EXPORT),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook or another Office file", _EXPORT),
    b"PAR1": ("a Parquet file", _EXPORT),
    b"ARROW1": ("an Arrow file", _EXPORT),
    b"SQLite format 3": ("a SQLite database", _EXPORT),
    b"-----BEGIN PGP": ("encrypted by PGP", "decrypt it"),
    b"\x00\x05\x16\x07": ("metadata that macOS wrote beside the file", "delete it"),
}
_UTF_16 = "UTF-16, as spreadsheets write “Unicode text”"
_TO_UTF_8 = "save it as UTF-8 (`iconv -f UTF-16 -t UTF-8`)"
# What a text begins with, in lower case -> what the file is, and what to do.
_TEXTS = {
    "version https://git-lfs.github.com/spec/": (
        "a Git LFS pointer, without the content",
        "fetch the content with `git lfs pull`",
    ),
    "<!doctype html": ("a web page, perhaps a login", "download the file again, logged in"),
    "<html": ("a web page, perhaps a login", "download the file again, logged in"),
    "<error>": ("an error message of a cloud store", "download the file again"),
    "<workbook": ("an Excel workbook as XML", _EXPORT),
    "<clinicaldocument": ("a C-CDA document", "convert it to the release's markup"),
    "<bundle": ("a FHIR bundle", "convert it to the release's markup"),
    "<patient": ("a FHIR patient", "convert it to the release's markup"),
    "msh|": ("an HL7 version 2 message", "convert it to the release's markup"),
}
_PROLOGUE = re.compile(r"\s*(<\?.*?\?>\s*|<!--.*?-->\s*)*", re.DOTALL)


def is_gzip(opening: bytes) -> bool:
    """Return whether a file that begins with these bytes is compressed by gzip."""
    return opening.startswith(_GZIP)


def recognize(opening: bytes) -> str:
    """Return what a file is, and what to do, from its first `OPENING_BYTES`; "" if not recognized.

    Tables and EHRs in UTF-8 are not recognized, nor is a BOM of UTF-8.

    >>> recognize(b"%PDF-1.7"), recognize(b"instruction_id,question")
    ('a PDF; export it as text in UTF-8 (.tsv, .csv or .json)', '')
    """
    return "; ".join(_form(opening))


def _form(opening: bytes) -> tuple[str, ...]:
    for signature, form in _SIGNATURES.items():
        if opening.startswith(signature):
            return form
    if opening.startswith(b"PK\x03\x04"):
        is_workbook = b"[Content_Types].xml" in opening or b"xl/" in opening
        is_workbook |= b"opendocument.spreadsheet" in opening
        return ("a spreadsheet's workbook", _EXPORT) if is_workbook else ("a zip archive", _UNPACK)
    if opening[257:262] == b"ustar":
        return "a tar archive", _UNPACK
    if opening.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        return "UTF-32", "save it as UTF-8"
    if opening.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _UTF_16, _TO_UTF_8
    if opening and not opening.strip(b"\x00"):
        return "only zero bytes, as a failed copy leaves", "copy the file again"
    # Without a byte-order mark, every other byte of a text in English is 0.
    if min(len(opening) // 3, 8) < max(opening[::2].count(0), opening[1::2].count(0)):
        is_text = not (opening[::2].count(0) and opening[1::2].count(0))
        return (_UTF_16, _TO_UTF_8) if is_text else ("binary", _EXPORT)
    text = opening.decode("utf-8-sig", errors="replace")
    text = text[_PROLOGUE.match(text).end() :].lower()
    for beginning, form in _TEXTS.items():
        if text.startswith(beginning):
            return form
    if re.match(r'[\[{][^}]*"resourcetype"\s*:', text):
        return "a FHIR resource", "convert it to the release's tables or markup"
    if re.match(r'\{\s*"(message|error|detail)"\s*:', text):
        return "an error message of a web service", "download the file again, logged in"
    return ()


def recognize_folder(folder: Path) -> str:
    """Return which data model's folder this is, and what to do; "" if not recognized.

    MEDS, OMOP, MIMIC, FHIR and C-CDA are recognized by the names, or the beginning, of at most
    1,000 files.
    """
    files = list(islice((f for f in folder.rglob("*") if f.is_file()), 1000))
    names = {file.name.lower().removesuffix(".gz") for file in files}
    stems = {name.rpartition(".")[0] for name in names}
    convert = "; convert it to the release's tables and markup (docs/real_release.md)"
    if "dataset.json" in names and "codes.parquet" in names:
        return f"a MEDS dataset{convert}"
    if {"person", "visit_occurrence"} <= stems:
        return f"tables of the OMOP common data model{convert}"
    if {"patients", "admissions"} <= stems:
        return f"tables of MIMIC{convert}"
    for file in [f for f in files if f.suffix in (".json", ".ndjson", ".xml")][:3]:
        with file.open("rb") as content:
            form = recognize(content.read(OPENING_BYTES)).partition(";")[0]
        if "FHIR" in form or "C-CDA" in form:
            return f"a folder with {form}{convert}"
    return ""
