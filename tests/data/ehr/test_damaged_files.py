"""Mutated files either read or raise MedAlignError, within limits of memory."""

import resource
import warnings
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medalign_utils.data.ehr import ehr_text, read_events
from medalign_utils.data.release import load_release
from medalign_utils.errors import MedAlignError
from tests.builders.tiny_release import ehr_40, write_release
from tests.data.ehr.test_visit_markup import RECORD

HEADER = (
    "<person><birthdate>1950-03-02</birthdate><age><days>23537</days></age></person><caresites/>"
)
EHRS = (
    ehr_40().replace("<events>", HEADER + "<events>").encode(),
    b'<?xml version="1.0" encoding="UTF-8"?>\n' + ehr_40().encode(),
    RECORD.encode(),
)
REVIEWS = (
    "instruction_id\tmodel_name\tbinary_correct\tis_used_eval\tmodel_output\trank\treviewer\n"
    '02\ta\t1\tyes\t"x ""y""\n"\t1\tR\n02\tb\t0\ttrue\t—\t1.5\tR\n3\ta\tno\t0\t\t\t\n'
)
TABLES = (
    "all-instructions-rouge.tsv",
    "clinician-instruction-responses.tsv",
    "clinician-reviewed-model-responses.tsv",
)
# Fragments known to trip parsers, in addition to random bytes.
SNIPPETS = [
    b"<", b">", b"&", b"&#0;", b"&amp", b"]]>", b"<![CDATA[", b"<!--", b"<?x", b"\x00", b"\xff\xfe",
    b"\xc3", b"\xed\xa0\x80", b'"', b"'", b"\t", b"\n", b"\r", b"<!DOCTYPE a>", b"NULL", b"9" * 400,
    b"<!DOCTYPE a [<!ENTITY b 'c'><!ENTITY d '&b;&b;'>]>", b"0000-00-00 00:00", b"99999-01-01",
    b'timestamp=""', b"<event/>", b"<entry>", b"</entry>", b"<eventstream>", b"<record>", b"<day>",
    b"<visit>", b"\xef\xbc\x91", b"1e400", b"nan", b"-1", b"../" * 3, b"a" * 5000, b"xmlns:a='b' ",
    b"<a:b/>", b'person_id="8"', b"<event type='note'>", b"encoding='utf-16'", b"encoding='x'",
]  # fmt: skip
PLACE = st.floats(0, 1, exclude_max=True)
PIECE = st.sampled_from(SNIPPETS) | st.binary(max_size=8)
MUTATIONS = st.lists(
    st.tuples(st.sampled_from(["cut", "end", "insert", "replace", "double"]), PLACE, PLACE, PIECE),
    min_size=1,
    max_size=4,
)
MEGABYTES = 300


def mutate(content: bytes, mutations) -> bytes:
    for kind, where, extent, piece in mutations:
        begin = int(where * len(content))
        end = begin + int(extent * extent * 200)
        changed = {
            "cut": content[end:],
            "end": b"",
            "insert": piece + content[begin:],
            "replace": piece + content[begin + len(piece) :],
            "double": content[begin:end] * 21 + content[end:],
        }
        content = content[:begin] + changed[kind]
    return content


@pytest.fixture(scope="module")
def limited_memory():
    """Limit the additional memory of this process; exceeding it raises MemoryError."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("memory can only be limited on Linux")
    before = resource.getrlimit(resource.RLIMIT_AS)
    present = int(statm.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (present + MEGABYTES * 2**20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def mutations_of(n):
    return settings(
        max_examples=n,
        deadline=timedelta(seconds=2),
        derandomize=True,  # so that failures are reproducible
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def reads_or_raises(read, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read(*arguments)
        except MedAlignError as error:
            assert str(error)


@mutations_of(2400)
@given(st.sampled_from(EHRS), MUTATIONS, st.booleans())
def test_a_mutated_ehr(limited_memory, tmp_path_factory, content, mutations, as_text):
    file = tmp_path_factory.getbasetemp() / "40.xml"
    file.write_bytes(mutate(content, mutations))
    reads_or_raises(*((ehr_text, file, "lines") if as_text else (read_events, file)))


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = write_release(tmp_path_factory.mktemp("mutations") / "release")
    (folder / TABLES[-1]).write_text(REVIEWS)
    return folder


def load(folder):
    return load_release(folder).reviews


@mutations_of(300)
@given(st.sampled_from(TABLES), MUTATIONS)
def test_a_mutated_table(limited_memory, release, name, mutations):
    file = release / name
    valid = file.read_bytes()
    try:
        file.write_bytes(mutate(valid, mutations))
        reads_or_raises(load, release)
    finally:
        file.write_bytes(valid)


def test_the_files_are_valid_before_mutation(release, tmp_path):
    for content in EHRS:
        (tmp_path / "40.xml").write_bytes(content)
        assert len(read_events(tmp_path / "40.xml")) >= 3
    assert len(load(release).ratings) == 2
