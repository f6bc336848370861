"""Files of a registry: what is understood, and what is said of the rest."""

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from authsvc.mandates.reading import BadLine, OfRecord, OwnershipLine, PackageLine, UnreadableFile, read
from authsvc.policy.mandate import Impact
from tests.conftest import NOON

PACKAGES = "ecosystem,name,weekly_downloads,dependents,weekly_ge_1m,dependents_ge_500,rank,dependents_rank\n"
TOO_FAR = "is before the year 2000, or more than a day from now"
OWNERS = "ecosystem,package,account,role,accepted_at\n"


def lines(
    tmp_path: Path, content: str | bytes, *, of_record: OfRecord = lambda _: True
) -> list[PackageLine | OwnershipLine | BadLine]:
    """What is read from such a file."""
    path = tmp_path / "file.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    found = read(path, now=NOON, progress=lambda position: None, of_record=of_record)
    return [line if isinstance(line, BadLine) else line[1] for line in found]


def reasons(tmp_path: Path, content: str | bytes) -> list[tuple[int, str]]:
    """Lines that cannot be stored, and why; fails when there is a good one."""
    found = lines(tmp_path, content)
    assert all(isinstance(line, BadLine) for line in found)
    return [(line.line, line.reason) for line in found if isinstance(line, BadLine)]


def test_a_package_is_read_with_all_its_figures(tmp_path: Path) -> None:
    impact = Impact(
        weekly_downloads=12,
        dependents=3,
        weekly_ge_1m=False,
        dependents_ge_500=True,
        rank=4,
        dependents_rank=5,
    )
    assert lines(tmp_path, PACKAGES + "npm,left-pad,12,3,0,1,4,5\n") == [PackageLine("npm", "left-pad", impact)]


def test_an_empty_figure_is_unknown_and_no_zero(tmp_path: Path) -> None:
    assert lines(tmp_path, PACKAGES + "npm,left-pad,,,,,,\n") == [PackageLine("npm", "left-pad", Impact())]


def test_columns_may_stand_in_any_order_and_unknown_ones_are_passed_over(tmp_path: Path) -> None:
    text = "licence,weekly_downloads,name,ecosystem\nMIT,5,left-pad,npm\n"
    assert lines(tmp_path, text) == [PackageLine("npm", "left-pad", Impact(weekly_downloads=5))]


def test_a_maintainer_named_by_the_registry_counts_as_accepted_from_now(tmp_path: Path) -> None:
    text = "ecosystem,package,account,role\nnpm,left-pad,Alice,owner\n"
    assert lines(tmp_path, text) == [OwnershipLine("npm", "left-pad", "alice", "owner", NOON)]


def test_a_role_left_out_is_maintainer(tmp_path: Path) -> None:
    text = "ecosystem,package,account\nnpm,left-pad,alice\n"
    assert lines(tmp_path, text) == [OwnershipLine("npm", "left-pad", "alice", "maintainer", NOON)]


@pytest.mark.parametrize(
    ("text", "accepted_at"),
    [
        ("2000-01-01", datetime(2000, 1, 1, tzinfo=UTC)),
        ("2026-11-25T12:00:00Z", NOON + timedelta(days=1)),
        ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
        ("2026-01-02T03:04:05+02:00", datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ("", None),
    ],
)
def test_acceptance_is_taken_from_its_column_and_empty_means_invited(
    tmp_path: Path, text: str, accepted_at: datetime | None
) -> None:
    found = lines(tmp_path, OWNERS + f"npm,left-pad,alice,owner,{text}\n")
    assert found == [OwnershipLine("npm", "left-pad", "alice", "owner", accepted_at)]


@pytest.mark.parametrize("name", ["zope.interface", "Zope_Interface", "zope-._interface"])
def test_spellings_of_one_pypi_package_are_one_and_those_of_npm_are_not(tmp_path: Path, name: str) -> None:
    head = "ecosystem,name,dependents\n"
    assert lines(tmp_path, f"{head}pypi,{name},1\n") == [PackageLine("pypi", "zope-interface", Impact(dependents=1))]
    assert lines(tmp_path, f"{head}npm,{name},1\n") == [PackageLine("npm", name, Impact(dependents=1))]


@pytest.mark.parametrize(("said", "counts"), [("2001-01-01", NOON), ("2026-11-25", datetime(2026, 11, 25, tzinfo=UTC))])
def test_what_a_registry_not_of_record_says_was_accepted_counts_from_when_it_says_so(
    tmp_path: Path, said: str, counts: datetime
) -> None:
    found = lines(tmp_path, f"{OWNERS}npm,left-pad,alice,owner,{said}\n", of_record=lambda _: False)
    assert found == [OwnershipLine("npm", "left-pad", "alice", "owner", counts)]


@pytest.mark.parametrize("wrap", [gzip.compress, bytes])
def test_packed_or_plain_with_mark_remarks_and_windows_line_ends(tmp_path: Path, wrap: type[bytes]) -> None:
    text = "\ufeff# a remark\r\necosystem,name,dependents\r\n\r\nnpm,@a/b, 7 \r\n# another\r\n"
    assert lines(tmp_path, wrap(text.encode())) == [PackageLine("npm", "@a/b", Impact(dependents=7))]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("npm,left-pad,1", "3 columns where the first line has 8"),
        ("npm,left-pad,1,1,,,,,", "9 columns where the first line has 8"),
        ("NPM,left-pad,1,1,,,,", "the ecosystem 'NPM' is not one word of up to 20 small letters"),
        (",left-pad,1,1,,,,", "the ecosystem '' is not one word of up to 20 small letters"),
        ("npm,,1,1,,,,", "the package name '' is empty, holds a space or is longer than 214"),
        ("npm,left pad,1,1,,,,", "the package name 'left pad' is empty, holds a space or is longer than 214"),
        (f"npm,{'x' * 215},1,1,,,,", f"the package name '{'x' * 40}' is empty, holds a space or is longer than 214"),
        ("npm,left-pad,many,1,,,,", "weekly_downloads 'many' is not a whole number from 0 to 1000000000000000"),
        ("npm,left-pad,-1,1,,,,", "weekly_downloads '-1' is not a whole number from 0 to 1000000000000000"),
        ("npm,left-pad,1.5,1,,,,", "weekly_downloads '1.5' is not a whole number from 0 to 1000000000000000"),
        ("npm,left-pad,１,1,,,,", "weekly_downloads '１' is not a whole number from 0 to 1000000000000000"),
        (f"npm,left-pad,1,{10**15 + 1},,,,", f"dependents '{10**15 + 1}' is not a whole number from 0 to {10**15}"),
        (f"npm,left-pad,1,{'9' * 5000},,,,", f"dependents '{'9' * 40}' is not a whole number from 0 to {10**15}"),
        ("npm,left-pad,1,1,yes,,,", "weekly_ge_1m 'yes' is neither 0, 1 nor empty"),
        ("npm,left-pad,1,1,,2,,", "dependents_ge_500 '2' is neither 0, 1 nor empty"),
        ("npm,left-pad,1,1,,,0,", "rank '0' is not a whole number from 1 to 2147483647"),
        ("npm,left-pad,1,1,,,,2147483648", "dependents_rank '2147483648' is not a whole number from 1 to 2147483647"),
        ("npm,left\0pad,1,1,,,,", "holds bytes or characters that cannot be read; is the file UTF-8?"),
        ("npm,left\u202epad,1,1,,,,", "holds bytes or characters that cannot be read; is the file UTF-8?"),
    ],
)
def test_a_bad_package_line_is_named_with_its_number_and_reason(tmp_path: Path, row: str, reason: str) -> None:
    assert reasons(tmp_path, f"{PACKAGES}{row}\n") == [(2, reason)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("npm,left-pad,,owner,", "the account '' can be nobody's name here"),
        ("npm,left-pad,аlice,owner,", "the account 'аlice' can be nobody's name here"),  # a Cyrillic letter
        ("npm,left-pad,alice,co owner,", "the role 'co owner' is not one word of up to 20 letters"),
        (
            "npm,left-pad,alice,owner,9999-12-31T23:59-12:00",
            "accepted_at '9999-12-31T23:59-12:00' is not a date such as 2026-11-24",
        ),
        ("npm,left-pad,alice,owner,1999-12-31T23:59:59Z", f"accepted_at '1999-12-31T23:59:59Z' {TOO_FAR}"),
        ("npm,left-pad,alice,owner,0001-01-01", f"accepted_at '0001-01-01' {TOO_FAR}"),
        ("npm,left-pad,alice,owner,2026-11-25T12:00:01Z", f"accepted_at '2026-11-25T12:00:01Z' {TOO_FAR}"),
        ("npm,left-pad,alice,owner,soon", "accepted_at 'soon' is not a date such as 2026-11-24"),
    ],
)
def test_a_bad_maintainer_line_is_named_with_its_number_and_reason(tmp_path: Path, row: str, reason: str) -> None:
    assert reasons(tmp_path, f"{OWNERS}{row}\n") == [(2, reason)]


def test_bytes_that_are_no_utf_8_make_a_bad_line(tmp_path: Path) -> None:
    text = b"ecosystem,name,dependents\nnpm,caf\xe9,1\n"
    assert reasons(tmp_path, text) == [(2, "holds bytes or characters that cannot be read; is the file UTF-8?")]


def test_good_lines_after_a_bad_one_are_still_read(tmp_path: Path) -> None:
    found = lines(tmp_path, "ecosystem,name,dependents\nnpm,a,x\nnpm,b,1\nnpm\nnpm,c,1\n")
    assert [line.line if isinstance(line, BadLine) else 0 for line in found] == [2, 0, 4, 0]


def test_a_registry_that_is_not_of_record_only_invites(tmp_path: Path) -> None:
    text = "ecosystem,package,account\nnpm,left-pad,alice\npypi,left-pad,alice\n"
    found = lines(tmp_path, text, of_record=lambda ecosystem: ecosystem == "pypi")
    assert [line.accepted_at for line in found if isinstance(line, OwnershipLine)] == [None, NOON]


@pytest.mark.parametrize("wrap", [gzip.compress, bytes])
def test_json_says_the_same_as_csv(tmp_path: Path, wrap: type[bytes]) -> None:
    text = """
{"ecosystem": "npm", "name": "left-pad", "weekly_downloads": 12, "dependents_ge_500": true, "rank": null, "other": [1]}
{"name": "Zope.Interface", "ecosystem": "pypi", "weekly_ge_1m": 0, "dependents": "3"}
"""
    assert lines(tmp_path, wrap(text.encode())) == [
        PackageLine("npm", "left-pad", Impact(weekly_downloads=12, dependents_ge_500=True)),
        PackageLine("pypi", "zope-interface", Impact(dependents=3, weekly_ge_1m=False)),
    ]


def test_maintainers_in_json_are_accepted_unless_they_say_when_or_not_at_all(tmp_path: Path) -> None:
    who = '{"ecosystem": "npm", "package": "a", "account": "Alice"'
    text = f'{who}}}\n{who}, "accepted_at": null}}\n{who}, "accepted_at": "2020-01-01", "role": "owner"}}\n'
    assert lines(tmp_path, text) == [
        OwnershipLine("npm", "a", "alice", "maintainer", NOON),
        OwnershipLine("npm", "a", "alice", "maintainer", None),
        OwnershipLine("npm", "a", "alice", "owner", datetime(2020, 1, 1, tzinfo=UTC)),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("left-pad", "not JSON: "),
        ('["npm", "left-pad"]', "not a JSON object"),
        ('{"ecosystem": "npm", "name": "a"}', "holds none of weekly_downloads, dependents, "),
        ('{"ecosystem": "npm", "dependents": 1}', "the package name '' is empty"),
        ('{"ecosystem": "npm", "name": "a", "dependents": 1.5}', "dependents is neither text nor a whole number"),
        ('{"ecosystem": "npm", "name": ["a"], "dependents": 1}', "name is neither text nor a whole number"),
        ('{"ecosystem": "npm", "name": "a", "dependents": -1}', "dependents '-1' is not a whole number"),
        ('{"ecosystem": "npm", "name": "a", "weekly_ge_1m": 2}', "weekly_ge_1m '2' is neither 0, 1 nor empty"),
        ('{"ecosystem": "npm", "name": "a\\u202e", "dependents": 1}', "holds bytes or characters"),
        ('{"ecosystem": "npm", "name": "a", "dependents": ' + "9" * 5000 + "}", "Exceeds the limit"),
        ("[" * 100_000, "maximum recursion depth"),
    ],
)
def test_a_bad_line_of_json_is_named_with_its_number_and_reason(tmp_path: Path, line: str, reason: str) -> None:
    good = '{"ecosystem": "npm", "name": "left-pad", "dependents": 1}'
    found = lines(tmp_path, f"{good}\n\n{line}\n{good}\n")
    (bad,) = [entry for entry in found if isinstance(entry, BadLine)]
    assert bad.line == 3
    assert bad.reason.startswith(reason)
    assert len(found) == 3


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="line 1 is longer than 1,048,576 characters"):
        lines(tmp_path, '{"name": "' + "x" * 2_000_000)


@pytest.mark.parametrize("row", ['npm,"left"pad,1', 'npm,"left-pad,1', f"npm,{'x' * 200_000},1"])
def test_broken_quoting_and_endless_fields_make_a_bad_line(tmp_path: Path, row: str) -> None:
    ((line, reason),) = reasons(tmp_path, f"ecosystem,name,dependents\n{row}\n")
    assert line == 2
    assert reason.startswith("not CSV: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("\n\n# nothing but a remark\n", "the file is empty"),
        ("name,downloads\nleft-pad,5\n", "the first line must name the columns ecosystem, package, account"),
        ("ecosystem,name,rank\nnpm,left-pad,5\n", "one or more of weekly_downloads, dependents, weekly_ge_1m"),
        ("npm,left-pad,5\n", "it names 'npm, left-pad, 5'"),
        ("ecosystem,name,dependents,name\nnpm,a,1,b\n", "the first line names name twice"),
        ('"ecosystem,name', "the first line is not CSV"),
        ("ecosystem,name,dependents\n".encode("utf-16").decode("latin-1"), "the first line must name the columns"),
    ],
)
def test_a_file_of_another_kind_is_refused_as_a_whole(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UnreadableFile, match=words):
        lines(tmp_path, text.encode("latin-1"))


@pytest.mark.parametrize("damage", ["cut off", "altered", "header only"])
def test_a_damaged_packed_file_is_refused_as_a_whole(tmp_path: Path, damage: str) -> None:
    whole = gzip.compress(("ecosystem,name,dependents\n" + "".join(f"npm,p{n},{n}\n" for n in range(9999))).encode())
    middle = len(whole) // 2
    content = {
        "cut off": whole[:middle],
        "altered": whole[:middle] + b"\xff" * 64 + whole[middle + 64 :],
        "header only": whole[:2] + b"not gzip at all",
    }[damage]
    with pytest.raises(UnreadableFile, match="the compressed file is damaged or cut off"):
        lines(tmp_path, content)


def test_progress_reaches_the_end_of_the_file(tmp_path: Path) -> None:
    path, heard = tmp_path / "packages.csv", list[int]()
    path.write_text("ecosystem,name,dependents\n" + "".join(f"npm,p{n},{n}\n" for n in range(5000)))
    assert len(list(read(path, now=NOON, progress=heard.append, of_record=lambda _: True))) == 5000
    assert heard == sorted(heard)
    assert heard[-1] == path.stat().st_size
    assert len(heard) > 3
