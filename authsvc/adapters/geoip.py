"""Places of IP addresses, from a file in the MaxMind DB format that the operator keeps up to date.

It is read on this machine; no address leaves it. Country and city files of that layout will do, whoever made them.
"""

from typing import Any

import maxminddb

from authsvc.core.evidence import Place


class GeoIpFile:
    """The file, opened once. An empty path knows no places. Raises ValueError for a file that cannot be used."""

    def __init__(self, path: str = "") -> None:
        try:
            self._reader = maxminddb.open_database(path) if path else None
        except (OSError, maxminddb.InvalidDatabaseError) as error:
            raise ValueError(
                f"AUTHSVC_GEOIP_FILE: {path} is no GeoIP file in the MaxMind DB format: {error}"
            ) from error

    def look_up(self, ip: str) -> Place:
        """The place of an address; an empty one where the file does not know it."""
        if self._reader is None:
            return Place()
        try:
            found = self._reader.get(ip)
        except (ValueError, maxminddb.InvalidDatabaseError):  # no address, an IPv6 one in an IPv4 file, a broken record
            return Place()
        return _place(found) if isinstance(found, dict) else Place()


def _place(record: dict[str, Any]) -> Place:
    country = record.get("country") or record.get("registered_country") or {}
    parts = (_english(record.get("city")), _english(country))
    return Place(country=str(country.get("iso_code", "")), words=", ".join(part for part in parts if part))


def _english(named: Any) -> str:
    return str((named or {}).get("names", {}).get("en", ""))
