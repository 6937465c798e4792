"""Files in other encodings, files that are no EHR, and errors that repeat none of their text."""

import errno
import gzip
import io
import os
import zipfile

import pytest

from medalign_utils.data.ehr import ehr_text, iterate_events, parsing, read_events
from medalign_utils.errors import EHRError
from tests.builders.tiny_release import encounter, entry, event, eventstream, lab, note

TEXT = eventstream("7", encounter(lab("2014-08-10 09:12", "1.4") + note("2014-08-11", "naïve é")))
QUOTED = TEXT.replace("naïve é", "“naïve” é")


def declared(encoding, text=TEXT):
    return f'<?xml version="1.0" encoding="{encoding}"?>\n{text}'


def errors_of(path):
    """The errors of both readers, which agree."""
    errors = []
    for read in (read_events, lambda path: ehr_text(path, "markup")):
        with pytest.raises(EHRError) as error:
            read(path)
        errors.append(str(error.value))
    assert errors[0] == errors[1]
    return errors[0]


CONTENTS = {
    "byte-order mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "byte-order mark, declared": b"\xef\xbb\xbf" + declared("UTF-8").encode(),
    "declared in lower case": declared("utf8").encode(),
    "Latin 1": declared("ISO-8859-1").encode("latin-1"),
    "Windows 1252": declared("windows-1252").encode("cp1252"),
    "UTF-16": declared("UTF-16").encode("utf-16"),
    "UTF-16, not declared": TEXT.encode("utf-16"),
    "gzip": gzip.compress(TEXT.encode()),
    "gzip of Latin 1": gzip.compress(declared("ISO-8859-1").encode("latin-1")),
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize("name", ["7.xml", "EHR_7.xml.gz"])
def test_all_readers_decode_a_file_alike(write, content, name):
    path = write(content, name)
    assert read_events(path)["value"].tolist() == ["1.4", "naïve é"]
    assert ehr_text(path, "lines").endswith("naïve é")
    assert ">naïve é</event>" in ehr_text(path, "markup")


CONTRADICTIONS = {
    "mark of UTF-8": (b"\xef\xbb\xbf" + declared("ISO-8859-1").encode(), "byte-order mark is that"),
    "text of UTF-8": (declared("ISO-8859-1").encode(), "declares iso8859-1, but its text is UTF-8"),
    "curly quotes": (declared("ISO-8859-1", QUOTED).encode("cp1252"), "only windows-1252 has"),
    "no mark": (declared("UTF-16").encode(), "declares utf-16, but has no byte-order mark"),
    "not ASCII": (declared("US-ASCII").encode(), "declares ascii, but its text is UTF-8"),
    "undefined bytes": (declared("cp1252").encode("latin-1") + b"\x81", "bytes that are not"),
    "no text encoding": (declared("rot13").encode(), "declares an encoding that is not read"),
    "a null": (declared("cp\0").encode(), "declares an encoding that is not read"),
    "unknown": (declared("Smith").encode(), "declares an encoding that is not read"),
    "not declared": (QUOTED.encode("cp1252"), "XML: bytes that are not UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "fault"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_an_encoding_that_contradicts_the_file_is_a_problem(write, content, fault):
    assert fault in errors_of(write(content))


def zipped(text):
    with zipfile.ZipFile(content := io.BytesIO(), "w") as archive:
        archive.writestr("7.xml", text)
    return content.getvalue()


FORMS = {
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "zip": (zipped(TEXT), "a zip archive; unpack it"),
    "web page": (b"<!DOCTYPE html><html><body>Log in</body></html>", "a web page"),
    "not well-formed page": (b"<html><br><p>Log in", "a web page"),
    "UTF-16 with another declaration": (declared("UTF-8").encode("utf-16"), "UTF-16"),
    "FHIR": (b'<Bundle xmlns="http://hl7.org/fhir"/>', "a FHIR bundle; convert it"),
    "C-CDA": (
        b'<?xml version="1.0"?><?xml-stylesheet href="CDA.xsl"?>\n'
        b'<ClinicalDocument xmlns="urn:hl7-org:v3"/>', "a C-CDA document; convert it"
    ),
    "compressed page": (gzip.compress(b"<html/>"), "a web page"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "form"), FORMS.values(), ids=FORMS)
def test_a_file_that_is_no_ehr_is_recognized(write, content, form):
    path = write(content)
    message = errors_of(path)
    assert message.startswith(f"{path}: not an EHR, but ") and form in message


def test_a_gzip_file_that_was_cut_off(write):
    assert "7.xml: a damaged gzip file" in errors_of(write(gzip.compress(TEXT.encode())[:-9]))


BROKEN = {
    "control character": ("1.4", "1\x0b4", "a control character"),
    "bare ampersand": ("1.4", "A & E", "a bare & or <; write them as &amp; and &lt;"),
    "ampersand before a letter": ("1.4", "A&E x", "a bare &; write it as &amp;"),
    "entity of HTML": ("1.4", "1&nbsp;4", "such as &nbsp; or a bare &"),
    "bare less-than": ("1.4", "x < 4", "a bare & or <"),
    "no end tag": ("1.4</event>", "1.4</entry>", "an end tag that does not match"),
    "prefix": ("1.4", "<smith:john/>", "a prefix that is not declared"),
    "prefix of an attribute": (
        "1.4</event>",
        '1.4</event><event type="visit" smith:a="1"/>',
        "prefix",
    ),
    "attribute without a value": ('unit="mg/dL"', "smith", "attribute without value"),
    "attribute given twice": ('unit="mg/dL"', 'smith="1" smith="2"', "attribute redefined"),
    "entity with a name": ("1.4", "&smith;", "an entity that XML does not know"),
    "unknown tag not closed": ("1.4", "<smith>", "an end tag that does not match"),
}


@pytest.mark.parametrize(("old", "new", "fault"), BROKEN.values(), ids=BROKEN)
def test_a_syntax_error_says_what_to_do_and_repeats_nothing(write, old, new, fault):
    message = errors_of(write(TEXT.replace(old, new)))
    assert "7.xml, line 4: not well-formed XML: " in message and fault in message
    assert "smith" not in message


MISPLACED = {
    "tag": entry("2014-08-10", "<smith/>"),
    "tag in a namespace": entry("2014-08-10", "<smith xmlns='urn:john'/>"),
    "attribute": entry("2014-08-10", "<event smith='1' code='A/1'>john</event>"),
    "parent": f"<smith>{lab('2014-08-10', '1')}</smith>",
    "timestamp": lab("smith", "1"),
}


@pytest.mark.parametrize("inside", MISPLACED.values(), ids=MISPLACED)
def test_names_of_unknown_tags_and_attributes_are_not_repeated(write, inside):
    faults = []
    list(iterate_events(write(eventstream("7", encounter(inside))), faults.append))
    assert len(faults) == 1 and "smith" not in faults[0] and "john" not in faults[0], faults


def test_the_root_element_is_not_repeated(write):
    for root in ("<smith/>", "<smith:john/>", '<john xmlns="urn:smith"/>'):
        assert "smith" not in errors_of(write(root))
    fault = "root element in a namespace, expected <eventstream> or <record> without xmlns"
    assert fault in errors_of(write('<eventstream xmlns="urn:smith" person_id="7"/>'))


def test_a_stale_network_handle_is_an_error_with_the_path(write, monkeypatch):
    class Stale(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > 0:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
            return super().read(400)

    path = write(eventstream("7", 100 * encounter(lab("2014-08-10 09:12", "1"))))
    monkeypatch.setattr(parsing, "_open", lambda path: Stale(path.read_bytes()))
    with pytest.raises(EHRError, match=r"7.xml: cannot be read \(Stale file handle\)"):
        read_events(path)


def test_a_file_name_that_is_not_utf_8_is_refused_with_its_bytes_escaped(write):
    path = write(eventstream("7", ""), os.fsdecode(b"M\xfcller.xml"))
    message = errors_of(path)
    assert "M\\udcfcller.xml: a file name that is not UTF-8; rename it" in message


def test_a_type_alone_that_is_missing(write):
    path = write(eventstream("7", encounter(entry("2014-08-10", event("nan", "A/1", "x")))))
    with pytest.raises(EHRError, match="no type; attributes found: type, code, name"):
        read_events(path)


@pytest.mark.parametrize("content", ["", " \n"])
def test_an_empty_file_is_named_as_such(write, content):
    assert errors_of(write(content)).endswith("7.xml: an empty file; copy it again")


def test_a_pipe_in_the_place_of_an_ehr_is_an_error_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "7.xml")
    assert "7.xml: a pipe, socket or device, expected a file" in errors_of(tmp_path / "7.xml")
