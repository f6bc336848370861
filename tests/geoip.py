"""Writes small GeoIP files, after the MaxMind DB format specification 2.0: a search tree, the records, the metadata."""

import ipaddress
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RECORD_BITS = 24


class Short(int):
    """Of 16 bits; readers insist on the width."""


class Long(int):
    """Of 64 bits."""


def write(path: Path, networks: Mapping[str, Mapping[str, Any]]) -> Path:
    """A file of IPv4 networks that do not overlap, each with its record."""
    data, offsets = b"", {}
    for network, record in networks.items():
        offsets[network] = len(data)
        data += _encoded(record)
    tree: list[list[int | str]] = [["", ""]]  # the number of another node, a network, or nothing
    for network in networks:
        parsed = ipaddress.IPv4Network(network)
        bits = f"{int(parsed.network_address):032b}"[: parsed.prefixlen]
        node = 0
        for bit in bits[:-1]:
            child = tree[node][int(bit)]
            if not isinstance(child, int):
                tree.append(["", ""])
                child = tree[node][int(bit)] = len(tree) - 1
            node = child
        tree[node][int(bits[-1])] = network
    packed = b""
    for side in (side for pair in tree for side in pair):
        number = side if isinstance(side, int) else len(tree) + (16 + offsets[side] if side else 0)
        packed += number.to_bytes(RECORD_BITS // 8, "big")
    about = {
        "node_count": len(tree),
        "record_size": Short(RECORD_BITS),
        "ip_version": Short(4),
        "database_type": "Test",
        "languages": [],
        "binary_format_major_version": Short(2),
        "binary_format_minor_version": Short(0),
        "build_epoch": Long(1),
        "description": {},
    }
    path.write_bytes(packed + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + _encoded(about))
    return path


def place(country: str, name: str, city: str = "") -> dict[str, Any]:
    """A record as country and city files have them."""
    record: dict[str, Any] = {"country": {"iso_code": country, "names": {"en": name}}}
    return {**record, "city": {"names": {"en": city}}} if city else record


def _encoded(value: Any) -> bytes:
    match value:
        case str():
            text = value.encode()
            return bytes([2 << 5 | len(text)]) + text
        case Short():
            return bytes([5 << 5 | 2]) + struct.pack(">H", value)
        case Long():
            return bytes([8, 9 - 7]) + struct.pack(">Q", value)
        case int():
            return bytes([6 << 5 | 4]) + struct.pack(">I", value)
        case list():
            return bytes([len(value), 11 - 7]) + b"".join(map(_encoded, value))
        case _:
            return bytes([7 << 5 | len(value)]) + b"".join(_encoded(k) + _encoded(v) for k, v in value.items())
