"""Open and parse an EHR's file safely: one decoder, no entities, and errors without its text."""

import codecs
import gzip
import re
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from lxml import etree

from medalign_utils.data.gzip_files import BoundedGzip
from medalign_utils.data.recognize import OPENING_BYTES, is_gzip, recognize
from medalign_utils.errors import EHRError, reading

SUFFIXES = (".xml", ".xml.gz")
_SAFE_PARSER = {"resolve_entities": False, "load_dtd": False, "no_network": True}
_SAFE_PARSER |= {"remove_comments": True, "remove_pis": True, "encoding": "utf-8"}
_DECLARED = re.compile(r"""<\?xml[^>]*?\bencoding\s*=\s*["']([^"'>]+)["']""")
_BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF32_LE: "utf-32"}
_BYTE_ORDER_MARKS |= {codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF16_LE: "utf-16"}
_BYTE_ORDER_MARKS |= {codecs.BOM_UTF16_BE: "utf-16"}
_ENCODINGS = re.compile(r"ascii|utf-(8|16|32)(-[lb]e)?|iso8859-\d+|cp125\d|mac-roman")
_BETWEEN_TAGS = re.compile(rb">\s+<")
# libxml2's name for an error -> what to do. Its messages quote the file.
_ADVICE = {
    "ERR_INVALID_CHAR": "a control character, or another that XML does not allow; remove it",
    "ERR_INVALID_ENCODING": "bytes that are not UTF-8; convert the file to UTF-8, or declare its "
    "encoding in the first line",
    "ERR_UNDECLARED_ENTITY": "an entity that XML does not know, such as &nbsp; or a bare &; write "
    "the character itself, and & as &amp;",
    "ERR_ENTITYREF_SEMICOL_MISSING": "a bare &; write it as &amp;",
    "ERR_NAME_REQUIRED": "a bare & or <; write them as &amp; and &lt;",
    "ERR_TAG_NAME_MISMATCH": "an end tag that does not match its start tag",
    "ERR_TAG_NOT_FINISHED": "the file ends inside an element; it may be cut off",
    "ERR_GT_REQUIRED": "a tag that does not end; the file may be cut off",
    "ERR_DOCUMENT_END": "more after the end of the root element",
    "NS_ERR_UNDEFINED_NAMESPACE": "a tag or attribute with a prefix that is not declared",
}


def patient_of(path: Path) -> str:
    """Return the patient's id: the file's name without `SUFFIXES` and without ``EHR_``.

    >>> patient_of(Path("EHR_7.xml.gz")), patient_of(Path("7.xml"))
    ('7', '7')
    """
    name = path.name.removesuffix(".gz") if path.name.endswith(".xml.gz") else path.name
    return Path(name).stem.removeprefix("EHR_")


def read_text(path: Path) -> str:
    """Return the whole file as text, without a byte-order mark."""
    with _decoding(path), _open_utf8(path) as file:
        return file.read().decode("utf-8-sig")


def read_opening(path: Path, dialects: Collection[str]) -> tuple[str, str]:
    """Return a file's dialect and person_id, after checking its root element.

    Raises:
        EHRError: the file cannot be read, is not well-formed, has a DOCTYPE, has a root that is not
            in `dialects`, or has another person_id than its file name (a <record> may have none);
            or its encoding is not known, or not that of its byte-order mark.
    """
    patient = patient_of(path)
    try:
        patient.encode()
    except UnicodeEncodeError:
        raise EHRError(f"{path}: a file name that is not UTF-8; rename it") from None
    try:
        root = _root(path, dialects)
    except EHRError:
        if (form := _form(path)) is None:
            raise
        raise EHRError(f"{path}: {form}") from None
    person_id = root.get("person_id")
    if person_id is None and root.tag == "record":
        person_id = patient
    if person_id != patient:
        found = "no" if person_id is None else "another"
        raise EHRError(f"{path}: {found} person_id, expected {patient!r} as in the file name")
    return root.tag, person_id


def _root(path: Path, dialects: Collection[str]) -> etree._Element:
    # libxml2 expands entities in attributes even without resolve_entities, and huge_tree removes
    # the limit on their size. So look for a DOCTYPE first, with the limit, up to the root.
    with _decoding(path), _open_utf8(path) as file:
        parser = etree.iterparse(file, events=("start",), **_SAFE_PARSER)
        try:
            _, root = next(parser)
        except etree.XMLSyntaxError as error:
            raise _syntax_error(path, parser, error) from None
    if root.getroottree().docinfo.doctype:
        raise EHRError(f"{path}: has a DOCTYPE, which may define entities; remove it")
    if root.tag not in dialects:
        names = " or ".join(f"<{name}>" for name in dialects)
        if root.tag.rpartition("}")[2] in dialects:
            raise EHRError(f"{path}: root element in a namespace, expected {names} without xmlns")
        raise EHRError(f"{path}: another root element, expected {names}")
    return root


def _form(path: Path) -> str | None:
    """Return what a file is that is no EHR, and what to do; None if that is not known."""
    with suppress(OSError, EOFError, zlib.error), _open(path) as file:
        opening = file.read(OPENING_BYTES)
        if form := recognize(opening):
            return f"not an EHR, but {form}"
        if not opening.strip():
            return "an empty file; copy it again"
    return None


def iterate(path: Path, *tags: str) -> Iterator[etree._Element]:
    """Yield the elements with these tags when they end, inner ones first."""
    # huge_tree, because a long note may exceed libxml2's limit of 10 MB per text.
    with _decoding(path), _open_utf8(path) as file:
        parser = etree.iterparse(file, tag=tags, huge_tree=True, **_SAFE_PARSER)
        try:
            for _, element in parser:
                yield element
        except etree.XMLSyntaxError as error:
            raise _syntax_error(path, parser, error) from None


class Seen:
    """The encounters or visits of a record so far, by digests."""

    def __init__(self) -> None:
        """Start without any."""
        self._digests: set[int] = set()

    def repeats(self, part: etree._Element) -> bool:
        """Return whether an encounter or visit with events equals an earlier one.

        Blanks between its elements do not count, nor do attributes such as an id of its own.
        """
        if next(part.iter("event", "day"), None) is None:
            return False
        content = etree.tostring(part, with_tail=False).partition(b">")[2]
        own = [part.get(name) for name in ("start_timestamp", "start", "type")]
        digest = hash((*own, _BETWEEN_TAGS.sub(b"><", content)))
        is_repeated = digest in self._digests
        self._digests.add(digest)
        return is_repeated


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Turn errors of reading and decoding a file into our own."""
    with reading(path, EHRError):
        try:
            yield
        except UnicodeDecodeError as error:
            fault = f"bytes that are not {error.encoding}, its encoding; convert it to UTF-8"
            raise EHRError(f"{path}: {fault}") from None
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise EHRError(f"{path}: a damaged gzip file; copy it again") from None


def _open(path: Path) -> BinaryIO:
    """Return the file, decompressed if it is compressed by gzip, whatever its name."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise EHRError(f"{path}: a pipe, socket or device, expected a file")
    with path.open("rb") as file:
        is_compressed = is_gzip(file.read(2))
    return BoundedGzip(path) if is_compressed else path.open("rb")


def _open_utf8(path: Path) -> BinaryIO:
    """Return the file, decompressed, as a stream of UTF-8."""
    file = _open(path)
    try:
        encoding = _encoding_of(path, file)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file if encoding == "utf-8" else codecs.EncodedFile(file, "utf-8", encoding)


def _encoding_of(path: Path, file: BinaryIO) -> str:
    """Return Python's name of the encoding; EHRError if the content has another."""
    start = file.read(400)
    mark = next((name for bom, name in _BYTE_ORDER_MARKS.items() if start.startswith(bom)), None)
    declaration = _DECLARED.match(
        start.decode(mark or "latin-1", errors="replace").lstrip("\ufeffï»¿")
    )
    if declaration is None:
        return mark or "utf-8"
    try:
        declared = codecs.lookup(declaration[1].strip()).name
    except (LookupError, ValueError):  # a null character is a ValueError
        declared = ""
    if not _ENCODINGS.fullmatch(declared):
        raise EHRError(f"{path}: declares an encoding that is not read; convert it to UTF-8")
    if mark and not declared.startswith(mark):
        raise EHRError(
            f"{path}: declares {declared}, but its byte-order mark is that of {mark}; correct the "
            "first line"
        )
    if declared == "utf-8" or mark:
        return mark or declared
    if declared.startswith("utf"):
        fault = "has no byte-order mark"  # and its first line is not in that encoding
    else:
        fault = _contradiction(start + file.read(), declared)
    if fault:
        raise EHRError(f"{path}: declares {declared}, but {fault}; correct the first line")
    return declared


def _contradiction(content: bytes, declared: str) -> str:
    """Return why the content is not in the declared single-byte encoding; "" if it may be."""
    with suppress(UnicodeDecodeError):
        return "" if content.isascii() else content.decode() and "its text is UTF-8"
    if declared.startswith("iso8859") and re.search(rb"[\x80-\x9f]", content):
        return "has bytes that only windows-1252 has, such as curly quotes"
    return ""


def _syntax_error(path: Path, parser: etree.iterparse, error: etree.XMLSyntaxError) -> EHRError:
    # The exception may only say that no element was found; the log, if there is one, has the cause.
    causes = [cause for cause in parser.error_log if not cause.type_name.startswith("WAR_")]
    line, name = (causes[0].line, causes[0].type_name) if causes else (error.lineno, "no element")
    fault = _ADVICE.get(name) or name.partition("ERR_")[2].lower().replace("_", " ") or name
    return EHRError(f"{path}, line {line or 1}: not well-formed XML: {fault}")
