"""Places of addresses, from a GeoIP file written here."""

from pathlib import Path

import pytest

from authsvc.adapters.geoip import GeoIpFile
from authsvc.core.evidence import Place
from tests import geoip

NETWORKS = {
    "192.0.2.0/25": geoip.place("NO", "Norway", "Oslo"),
    "192.0.2.128/25": geoip.place("SE", "Sweden"),
    "198.51.100.0/24": {"registered_country": {"iso_code": "FI", "names": {"en": "Finland"}}},
    "203.0.113.7/32": {"traits": {}},
}


@pytest.fixture
def places(tmp_path: Path) -> GeoIpFile:
    """A file of four networks."""
    return GeoIpFile(str(geoip.write(tmp_path / "places.mmdb", NETWORKS)))


@pytest.mark.parametrize(
    ("ip", "place"),
    [
        ("192.0.2.1", Place("NO", "Oslo, Norway")),
        ("192.0.2.200", Place("SE", "Sweden")),
        ("198.51.100.1", Place("FI", "Finland")),
        ("203.0.113.7", Place()),
        ("203.0.113.8", Place()),
        ("2001:db8::1", Place()),
        ("unknown", Place()),
    ],
)
def test_an_address_has_the_place_of_its_network_or_none(places: GeoIpFile, ip: str, place: Place) -> None:
    assert places.look_up(ip) == place


def test_without_a_file_there_are_no_places() -> None:
    assert GeoIpFile().look_up("192.0.2.1") == Place()


@pytest.mark.parametrize("content", [None, b"no such format"])
def test_a_file_that_cannot_be_used_stops_the_start_and_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "places.mmdb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"AUTHSVC_GEOIP_FILE: .*places\.mmdb"):
        GeoIpFile(str(path))
