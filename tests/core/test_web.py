"""Fields, redirects, browsers' names."""

import pytest
from flask import Flask

from authsvc.core.errors import BadInput
from authsvc.core.rate_limits import network_of, wide_network_of
from authsvc.core.web import browser_words, code_field, local_path, scalar


@pytest.mark.parametrize(
    "value",
    ["", "evil", "//evil.test", "///evil.test", "https://evil.test", "javascript:alert(1)", "/\\evil.test", "\\/evil",
     "/a\nb", "/a\x00", " /a", "/" + "a" * 5000],
)  # fmt: skip
def test_only_paths_on_this_server_are_followed(value: str) -> None:
    assert local_path(value, "/account") == "/account"


@pytest.mark.parametrize("value", ["/", "/account", "/oauth2/authorize?client_id=a&redirect_uri=https://b.example/"])
def test_paths_on_this_server_are_kept(value: str) -> None:
    assert local_path(value, "/account") == value


@pytest.mark.parametrize(
    ("address", "wide"),
    [
        ("2001:db8:7:ab::1", "2001:db8:7::/48"),
        ("2001:db8:7:ab::/64", "2001:db8:7::/48"),  # a network, as `network_of` names it
        ("192.0.2.1", None),
        ("::ffff:192.0.2.1", None),
        ("unknown", None),
    ],
)
def test_only_ipv6_has_a_wider_network(address: str, wide: str | None) -> None:
    assert wide_network_of(address) == wide


def field(values: list[str], *, required: bool = True, strip: bool = True) -> str:
    """`scalar` with room for five characters."""
    return scalar(values, "name", max_length=5, required=required, strip=strip)


def test_a_field_is_one_scalar() -> None:
    assert field([" abc "]) == "abc"
    assert field([" abc "], strip=False) == " abc "
    assert field([], required=False) == ""


@pytest.mark.parametrize("values", [["a", "a"], [], [""], ["  "], ["abcdef"], ["a\x00"]])
def test_anything_else_is_refused(values: list[str]) -> None:
    with pytest.raises(BadInput):
        field(values)


def test_codes_are_read_without_spaces_and_hyphens() -> None:
    with Flask("t").test_request_context("/", method="POST", data={"code": " 1234-5678 \u00a090\t"}):
        assert code_field() == "1234567890"


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537 Chrome/150 Safari/537 Edg/150", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 19) AppleWebKit/605 Version/19 Safari/604", "Safari on iPhone"),
        ("Firefox/140", "Firefox"),
        ("curl/8", "An unknown program"),
        ("", "An unknown program"),
    ],
)
def test_browsers_are_named_as_people_know_them(agent: str, words: str) -> None:
    assert browser_words(agent) == words


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", "unknown"),
    ],
)
def test_one_customer_of_a_network_is_one_network(address: str, network: str) -> None:
    assert network_of(address) == network
