"""Lists of parking companies and throw-away mailboxes, ours and the operator's."""

from pathlib import Path

import pytest

from authsvc.adapters.domain_lists import domain_lists, shipped_lists
from authsvc.core.config import SettingError


def test_the_shipped_lists_hold_domains() -> None:
    ours = shipped_lists()
    assert "sedoparking.com" in ours.parking
    assert "mailinator.com" in ours.disposable
    assert not ours.parking & ours.disposable
    assert domain_lists(parking="", disposable="") == ours


def test_a_file_adds_to_ours_whatever_its_spelling(tmp_path: Path) -> None:
    parking, disposable = tmp_path / "parking", tmp_path / "disposable"
    parking.write_text("# parked\n\n Parked.Example. # since May\nstraße.de\n", encoding="utf-8")
    disposable.write_text("throwaway.example", encoding="utf-8")
    found, ours = domain_lists(parking=str(parking), disposable=str(disposable)), shipped_lists()
    assert found.parking - ours.parking == {"parked.example", "xn--strae-oqa.de"}
    assert found.disposable - ours.disposable == {"throwaway.example"}


@pytest.mark.parametrize("content", [b"good.example\nno domain\n", b"a@\n", b"192.0.2.1\n", b"\xff\xfe\n"])
def test_a_file_with_anything_else_stops_the_start_and_says_where(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "list"
    path.write_bytes(content)
    with pytest.raises(SettingError, match=r"AUTHSVC_DISPOSABLE_DOMAINS_FILE: .*list cannot be used"):
        domain_lists(parking="", disposable=str(path))


def test_a_file_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="AUTHSVC_PARKING_NAMESERVERS_FILE"):
        domain_lists(parking=str(tmp_path / "none"), disposable="")
