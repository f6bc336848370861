"""Does the answer to "forgot my password" tell who has an account, or whose domain lapsed? Statuses, bytes and times.

    .venv/bin/python benchmarks/reset_answers.py [--each 1000] [--seed 0]

Starts `authsvc serve` with its defaults and its worker in a throw-away folder (SQLite), beside a DNS, a registry and a
mail server of its own. Posts `/recovery` in random order, so often of each kind: an account at a healthy domain, nobody
at that domain, somebody at a domain without accounts, an account at a lapsed domain. Follows each answer to its page.
Every few requests come from another network, as limits by network allow.

Ends with status 1 when anything differs but the time: statuses, headers, or bodies once each page's own nonce is taken
out. Of times it prints percentiles and, for each kind against known accounts, the distance of the two distributions
(Kolmogorov-Smirnov) beside what chance alone exceeds once in a hundred; and beside the same distance between two halves
of the known ones, as a measure of the noise.
"""

import argparse
import hashlib
import http.client
import itertools
import json
import math
import os
import random
import re
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the servers that the tests use

from tests import servers

FORM = "application/x-www-form-urlencoded"
KNOWN, UNKNOWN, ELSEWHERE, LAPSED = "known", "unknown, same domain", "unknown domain", "lapsed domain"
KINDS = (KNOWN, UNKNOWN, ELSEWHERE, LAPSED)
FROM_ONE_NETWORK = 10  # of 30 an hour, which each web process counts a share of
NONCE = re.compile(rb"nonce[-=]\"?[\w-]+")
NOT_COMPARED = frozenset({"date"})
CRITICAL_AT = 0.01


@dataclass
class Answers:
    """What came back for one kind."""

    seconds: list[float] = field(default_factory=list)
    shapes: Counter[tuple[Any, ...]] = field(default_factory=Counter)


def distance(first: Sequence[float], second: Sequence[float]) -> float:
    """The largest gap between two empirical distributions (Kolmogorov-Smirnov, two samples)."""
    ordered = sorted([(value, 1 / len(first)) for value in first] + [(value, -1 / len(second)) for value in second])
    largest = gap = 0.0
    for _, same in itertools.groupby(ordered, key=lambda pair: pair[0]):
        gap += sum(step for _, step in same)
        largest = max(largest, abs(gap))
    return largest


def critical(first: int, second: int, level: float = CRITICAL_AT) -> float:
    """The distance that samples of one distribution exceed with this probability (Smirnov's approximation)."""
    return math.sqrt(-math.log(level / 2) / 2 * (first + second) / (first * second))


def prepare(each: int) -> None:
    """Accounts at a healthy and at a lapsed domain, all proved a month ago."""
    subprocess.run([sys.executable, "-m", "authsvc.cli", "db", "upgrade"], check=True, stdout=subprocess.DEVNULL)
    from datetime import timedelta

    from authsvc import accounts, domains
    from authsvc.app import create_app, utc_now
    from authsvc.core import db

    app, now = create_app(), utc_now()
    proved = now - timedelta(days=30)
    with app.app_context(), db.transaction():
        for number in range(each):
            for domain in ("fine.org", "gone.org"):
                name = f"{domain.partition('.')[0]}{number}"
                account_id = accounts.create(username=name, now=proved)
                email = f"person{number}@{domain}"
                address = accounts.add_address(account_id, email, is_primary=True, verified_at=None, now=proved)
                domains.record_verification(address, domain, verified_at=proved, now=proved)


@contextmanager
def serving(folder: Path, port: int) -> Iterator[None]:
    """The server with its worker; one trusted proxy, so that requests come from networks of their own."""
    log = (folder / "log").open("wb")
    command = [sys.executable, "-m", "authsvc.cli", "serve", "--port", str(port)]
    running = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield
    finally:
        running.terminate()
        running.wait(timeout=60)
        log.close()


class Browser:
    """One keep-alive connection with a CSRF cookie."""

    def __init__(self, port: int) -> None:
        self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.headers = {"Host": f"localhost:{port}", "X-Forwarded-Host": f"localhost:{port}"}
        response, page = self.send("GET", "/recovery", "", 0)
        self.headers["Cookie"] = (response.getheader("Set-Cookie") or "").partition(";")[0]
        found = re.search(rb'name="csrf_token" value="([^"]+)"', page)
        assert found
        self.csrf = found[1].decode()

    def send(self, method: str, path: str, body: str, number: int) -> tuple[http.client.HTTPResponse, bytes]:
        """Send the request; every so often it comes from another network."""
        network = number // FROM_ONE_NETWORK
        came_from = f"10.{network // 250 // 250}.{network // 250 % 250}.{network % 250}"
        self.http.request(method, path, body, {**self.headers, "Content-Type": FORM, "X-Forwarded-For": came_from})
        response = self.http.getresponse()
        return response, response.read()

    def ask(self, typed: str, number: int) -> tuple[float, tuple[Any, ...]]:
        """Ask for a link; how long the answer took, and what it and the page after it look like."""
        body = urlencode({"csrf_token": self.csrf, "username": typed})
        begun = time.perf_counter()
        answer, text = self.send("POST", "/recovery", body, number)
        took = time.perf_counter() - begun
        page, page_text = self.send("GET", answer.getheader("Location") or "/", "", number)
        return took, (*shape(answer, text), *shape(page, page_text))


def shape(response: http.client.HTTPResponse, body: bytes) -> tuple[Any, ...]:
    """All of an answer that must not depend on who was asked for."""
    headers = sorted((name.lower(), value) for name, value in response.getheaders())
    plain = NONCE.sub(b"nonce", repr([pair for pair in headers if pair[0] not in NOT_COMPARED]).encode())
    return response.status, plain, len(body), hashlib.sha256(NONCE.sub(b"nonce", body)).hexdigest()


def typed_of(kind: str, number: int) -> str:
    """What is typed into the form. All texts are equally long."""
    match kind:
        case "known":
            return f"person{number}@fine.org"
        case "unknown, same domain":
            return f"nobody{number}@fine.org"
        case "unknown domain":
            return f"nobody{number}@else.org"
        case _:
            return f"person{number}@gone.org"


def ask_all(port: int, each: int, rng: random.Random) -> dict[str, Answers]:
    """All requests, in random order, one after another."""
    order = [(kind, number) for kind in KINDS for number in range(each)]
    rng.shuffle(order)
    browser, found = Browser(port), {kind: Answers() for kind in KINDS}
    for number in range(100):  # warm up
        browser.ask(f"warmup{number}@none.org", number)
    for position, (kind, number) in enumerate(order):
        took, looks = browser.ask(typed_of(kind, number), 1000 + position)
        found[kind].seconds.append(took)
        found[kind].shapes[looks] += 1
    return found


def check_alike(found: dict[str, Answers]) -> None:
    """Ends the program when the answers tell anything."""
    shapes = {looks for answers in found.values() for looks in answers.shapes}
    if len(shapes) == 1 and {(looks[0], looks[4]) for looks in shapes} == {(303, 200)}:
        return
    for kind, answers in found.items():
        for looks, count in answers.shapes.items():
            print(f"{kind}, {count} times: statuses {looks[0]}, {looks[4]}; {looks}"[:900], file=sys.stderr)
    sys.exit("The answers differ: they tell who has an account, or a limit by network was reached (429).")


def settle(folder: Path, smtp: servers.Smtp) -> tuple[int, int]:
    """Let the worker finish; how many requests are left, and how many links were mailed."""
    waits = "SELECT (SELECT count(*) FROM reset_requests), (SELECT count(*) FROM outbox WHERE body IS NOT NULL)"
    for _ in range(900):
        with closing(sqlite3.connect(folder / "authsvc.sqlite3", timeout=30)) as reading:
            requests, mails = reading.execute(waits).fetchone()
        if not requests and not mails:
            break
        time.sleep(1)
    return requests, len(smtp.messages)


def percentile(seconds: Sequence[float], share: float) -> float:
    """In milliseconds."""
    return sorted(seconds)[min(len(seconds) - 1, int(share * len(seconds)))] * 1000


def report(found: dict[str, Answers], rng: random.Random) -> dict[str, Any]:
    """The figures."""
    known = found[KNOWN].seconds
    halves = rng.sample(known, len(known))
    half = len(halves) // 2
    return {
        "times": {
            kind: {
                "median_ms": statistics.median(a.seconds) * 1000,
                **{f"p{share}_ms": percentile(a.seconds, share / 100) for share in (5, 25, 75, 95, 99)},
                "distance_to_known": distance(known, a.seconds) if kind != KNOWN else None,
            }
            for kind, a in found.items()
        },
        "critical_distance": critical(len(known), len(known)),
        "halves": {
            "distance": distance(halves[:half], halves[half:]),
            "critical_distance": critical(half, len(halves) - half),
        },
    }


def main() -> None:
    """Print the figures; ends with 1 when more than times differ."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--each", type=int, default=1000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    rng, port = random.Random(chosen.seed), servers.free_port()
    zone = servers.Zone(
        [["fine.org", "MX", "10 mx.fine.org."], ["fine.org", "NS", "ns.fine.org."], ["mx.fine.org", "A", "203.0.113.1"]]
    )
    with (
        tempfile.TemporaryDirectory() as name,
        servers.dns(zone) as dns,
        servers.web() as web,
        servers.smtp() as smtp,
    ):
        dates = [{"eventAction": "registration", "eventDate": "2014-03-02T00:00:00Z"}]
        web.add_rdap({"fine.org": {"http": 200, "body": {"objectClassName": "domain", "events": dates}}})
        os.environ.update(
            AUTHSVC_INSTANCE_PATH=name,
            AUTHSVC_BASE_URL=f"http://localhost:{port}",
            AUTHSVC_HIBP_BASE_URL="off",
            AUTHSVC_TRUSTED_PROXIES="1",
            AUTHSVC_DNS_RESOLVERS=dns.setting,
            AUTHSVC_RDAP_BASE_URL=web.url,
            AUTHSVC_RDAP_BOOTSTRAP_URL="off",
            AUTHSVC_ALLOW_LOOPBACK_TARGETS="1",
            AUTHSVC_SMTP_URL=smtp.url,
        )
        prepare(chosen.each)
        load = os.getloadavg()[0]
        with serving(Path(name), port):
            found = ask_all(port, chosen.each, rng)
            check_alike(found)
            left, mailed = settle(Path(name), smtp)
        to_lapsed = sum(str(message["X-Envelope-To"]).endswith("@gone.org") for message in smtp.messages)
    shapes = {looks for answers in found.values() for looks in answers.shapes}
    figures = report(found, rng) | {
        "each": chosen.each,
        "statuses": sorted({(looks[0], looks[4]) for looks in shapes}),
        "different_answers": len(shapes),
        "requests_left": left,
        "links_mailed": mailed,
        "mailed_to_lapsed": to_lapsed,
        "load": load,
    }
    print(json.dumps(figures, indent=1) if chosen.json else words(figures))
    if left or mailed != chosen.each or to_lapsed:
        sys.exit(f"{left} requests left, {mailed} of {chosen.each} links mailed, {to_lapsed} to the lapsed domain.")


def words(figures: dict[str, Any]) -> str:
    """The figures as a table."""
    columns = ("median_ms", "p5_ms", "p25_ms", "p75_ms", "p95_ms", "p99_ms")
    lines = [
        f"{figures['each']:,} requests of each kind, statuses {figures['statuses']}, load {figures['load']:.2f}; "
        f"different answers: {figures['different_answers']} (1: all alike)",
        f"{'ms':24}" + "".join(f"{name.removesuffix('_ms'):>9}" for name in columns) + f"{'distance':>10}",
    ]
    for kind, row in figures["times"].items():
        gap = "" if row["distance_to_known"] is None else f"{row['distance_to_known']:10.3f}"
        lines.append(f"{kind:24}" + "".join(f"{row[name]:9.2f}" for name in columns) + gap)
    halves = figures["halves"]
    lines += [
        f"chance exceeds a distance of {figures['critical_distance']:.3f} once in a hundred",
        f"two halves of known: {halves['distance']:.3f} (once in a hundred {halves['critical_distance']:.3f})",
        f"links mailed: {figures['links_mailed']:,}; to the lapsed domain: {figures['mailed_to_lapsed']}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
