"""The breached-password look-up, against a real HTTP server."""

import pytest

from authsvc.adapters.hibp import BreachedPasswords
from authsvc.adapters.http import HttpClient
from tests import servers

# SHA-1 of "password", known to everybody.
PREFIX, SUFFIX = "5BAA6", "1E4C9B93F3F0682250B6CF8331B7EE68FD8"
OTHERS = "003D68EB55068C33ACE09247EE4C639306B:3\r\n012C192B2F16F82EA0EB9EF18D9D539B0DD:0\r\n"


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        ({"http": 200, "raw": f"{OTHERS}{SUFFIX}:52579\r\n"}, 52579),
        ({"http": 200, "raw": f"{SUFFIX.lower()}:2"}, 2),
        ({"http": 200, "raw": f"{SUFFIX}:0"}, 0),  # padding
        ({"http": 200, "raw": OTHERS}, 0),
        ({"http": 200, "raw": f"{SUFFIX}:many"}, None),
        ({"http": 503, "raw": ""}, None),
        ({"http": "timeout"}, None),
    ],
)
def test_the_count_comes_from_the_range(web_server: servers.Web, answer: dict[str, object], count: int | None) -> None:
    web_server.answers[f"/range/{PREFIX}"] = answer
    service = BreachedPasswords(HttpClient(total_seconds=0.3), web_server.url)
    assert service.count("password") == count


def test_five_digits_are_all_that_leaves_the_house(web_server: servers.Web) -> None:
    BreachedPasswords(HttpClient(), web_server.url + "/").count("password")
    assert web_server.asked == [f"/range/{PREFIX}"]


def test_switched_off_it_asks_nobody_and_knows_nothing() -> None:
    assert BreachedPasswords(HttpClient(), "off").count("password") == 0
