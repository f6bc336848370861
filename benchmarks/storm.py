"""A storm of sign-ins against the real server: do services still get their tokens checked, do owners still get in?

    .venv/bin/python benchmarks/storm.py [--rounds 3] [--seconds 15] [--times 4] [--forged]

Starts `authsvc serve` with its defaults (a process for each core, SQLite, real Argon2) in a throw-away folder. Each
round measures token introspection on the quiet server, then under a storm of `POST /login` at four times the rate that
bare Argon2 reaches on this machine, 95 of 100 with a wrong password, all from browsers no account knows, out of 10,000
networks. Meanwhile owners sign in from browsers that their accounts know, one every half second, up to the mailed code.

With `--forged` the storm shows false cookies of known browsers, so that each must be looked up before it is refused.

Everything runs on the same cores: the storm takes as much of them for itself as is printed. Introspection is asked by
four connections, one request after another each.
"""

import argparse
import asyncio
import base64
import json
import multiprocessing
import os
import random
import re
import socket
import statistics
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sign_in import CORES, FORM, PASSWORD, Client, bare_argon2, cpu_seconds, prepare, server

ACCOUNTS = 6_000
OWNERS = 400  # of them with a known browser: person1, person2, …
WRONG = 0.95
CONNECTIONS = 96
INTROSPECTORS = 4
OWNER_EVERY_SECONDS = 0.5


def make_browsers(count: int) -> dict[str, str]:
    """A known browser for each of the first accounts: name → cookie."""
    from sqlalchemy import insert

    from authsvc import accounts
    from authsvc.app import create_app, utc_now
    from authsvc.core import crypto, db
    from authsvc.devices import Browser

    app, now, cookies = create_app(), utc_now(), {}
    with app.app_context(), db.transaction() as session:
        for number in range(1, count + 1):
            account, token = accounts.find(f"person{number}"), crypto.random_token()
            assert account
            cookies[account.username] = token
            row = {"digest": crypto.digest(token), "account_id": account.id, "epoch": account.epoch}
            seen = {"first_seen_at": now, "last_seen_at": now, "ip": "10.0.0.1", "browser": "Firefox on Linux"}
            session.execute(insert(Browser).values(**row, **seen))
    return cookies


def form_token(port: int) -> tuple[str, str]:
    """A CSRF cookie and its token; any number of clients may share them."""
    _, response, page = Client(port, 200).request("GET", "/login")
    cookie = (response.getheader("Set-Cookie") or "").partition(";")[0]
    found = re.search(rb'name="csrf_token" value="([^"]+)"', page)
    assert found
    return cookie, found[1].decode()


# The storm, in a process of its own


async def _storm(port: int, cookie: str, csrf: str, rate: float, seconds: float) -> dict[str, Any]:
    """Send at the rate, whatever comes back, as long as a connection is free."""
    rng, statuses, skipped = random.Random(port), Counter[int](), 0
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = f"person{rng.randrange(OWNERS + 1, ACCOUNTS)}"
        password = PASSWORD if rng.random() >= WRONG else f"wrong {rng.random()}"
        body = urlencode({"csrf_token": csrf, "username": name, "password": password})
        network = f"172.16.{rng.randrange(100)}.{rng.randrange(100)}"
        writer.write(
            f"POST /login HTTP/1.1\r\nHost: localhost:{port}\r\nX-Forwarded-Host: localhost:{port}\r\n"
            f"X-Forwarded-For: {network}\r\nCookie: {cookie}\r\nContent-Type: {FORM}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        await reader.readexactly(int(length[1]) if length else 0)
        statuses[int(head[9:12])] += 1
        free.put_nowait((reader, writer))

    begun, tasks = time.perf_counter(), set()
    due = begun
    while (now := time.perf_counter()) < begun + seconds:
        if due > now:
            await asyncio.sleep(due - now)
        due += 1 / rate
        if free.empty():
            skipped += 1
            continue
        task = asyncio.create_task(one(*free.get_nowait()))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    took = time.perf_counter() - begun
    await asyncio.wait(tasks, timeout=10) if tasks else None
    return {
        "sent_per_s": sum(statuses.values()) / took,
        "skipped": skipped,
        "statuses": dict(statuses),
        "cpu": time.process_time() / took,
    }


def _storm_process(*values: Any) -> None:
    *arguments, results = values
    results.put(asyncio.run(_storm(*arguments)))


# What is measured, in this process


@dataclass
class Measured:
    """Introspections, and sign-ins of known browsers."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    failed: int = 0
    owners: list[tuple[bool, float]] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Introspections answered rightly per second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Of the introspections' times, in milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


@dataclass
class Target:
    """The server under test and what is needed to talk to it."""

    port: int
    client_id: str
    secret: str
    token: str
    cookie: str
    csrf: str
    owners: list[tuple[str, str]]
    forged: bool


def measure(target: Target, seconds: float, *, with_owners: bool) -> Measured:
    """Introspect on four connections for so long; owners sign in beside that."""
    found, end = Measured(), time.perf_counter() + seconds
    basic = base64.b64encode(f"{target.client_id}:{target.secret}".encode()).decode()

    def introspect(number: int) -> None:
        client, body = Client(target.port, 100 + number), urlencode({"token": target.token})
        while (begun := time.perf_counter()) < end:
            status, _, answer = client.request("POST", "/oauth2/introspect", body, Authorization=f"Basic {basic}")
            if status == 200 and json.loads(answer)["active"]:
                found.latencies.append(time.perf_counter() - begun)
            else:
                found.failed += 1

    def sign_in() -> None:
        client = Client(target.port, 150)
        while (begun := time.perf_counter()) < end and target.owners:
            name, browser = target.owners.pop()
            body = urlencode({"csrf_token": target.csrf, "username": name, "password": PASSWORD})
            cookies = f"{target.cookie}; authsvc-browser={browser}"
            status, response, _ = client.request("POST", "/login", body, Cookie=cookies)
            right = status == 303 and (response.getheader("Location") or "").endswith("/login/next")
            found.owners.append((right, time.perf_counter() - begun))
            time.sleep(max(0.0, begun + OWNER_EVERY_SECONDS - time.perf_counter()))

    begun = time.perf_counter()
    threads = [threading.Thread(target=introspect, args=(n,)) for n in range(INTROSPECTORS)]
    if with_owners:
        threads.append(threading.Thread(target=sign_in))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.seconds = time.perf_counter() - begun
    return found


def one_round(target: Target, pid: int, seconds: float, rate: float) -> dict[str, Any]:
    """Quiet, storm, quiet."""
    results: multiprocessing.Queue[dict[str, Any]] = multiprocessing.Queue()
    before = measure(target, seconds / 2, with_owners=False)
    warm_up = 3.0
    shown = f"{target.cookie}; authsvc-browser={'x' * 43}" if target.forged else target.cookie
    arguments = (target.port, shown, target.csrf, rate, seconds + warm_up, results)
    storm = multiprocessing.Process(target=_storm_process, args=arguments)
    storm.start()
    time.sleep(warm_up)
    spent, begun = cpu_seconds(pid), time.perf_counter()
    under = measure(target, seconds, with_owners=True)
    server_share = (cpu_seconds(pid) - spent) / (time.perf_counter() - begun) / CORES
    storm_found = results.get()
    storm.join()
    after = measure(target, seconds / 2, with_owners=False)
    quiet = (before.per_second + after.per_second) / 2
    waits = sorted(took for _, took in under.owners)
    return {
        "quiet_per_s": quiet,
        "storm_per_s": under.per_second,
        "kept": under.per_second / quiet,
        "quiet_p99_ms": max(before.percentile(0.99), after.percentile(0.99)),
        "storm_p50_ms": under.percentile(0.5),
        "storm_p99_ms": under.percentile(0.99),
        "failed": under.failed,
        "owners": len(under.owners),
        "owners_in": sum(right for right, _ in under.owners),
        "owners_median_ms": statistics.median(waits) * 1000 if waits else 0.0,
        "owners_slowest_ms": waits[-1] * 1000 if waits else 0.0,
        "server_share": server_share,
        **storm_found,
    }


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=15)
    options.add_argument("--times", type=float, default=4, help="the storm's rate, in bare Argon2 verifications")
    options.add_argument("--rate", type=float, help="the storm's rate itself, to compare runs on a busy machine")
    options.add_argument("--forged", action="store_true", help="the storm shows false cookies of known browsers")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    with tempfile.TemporaryDirectory() as name:
        client_id, secret, token = prepare(Path(name), port, ACCOUNTS)
        owners = list(make_browsers(OWNERS).items())
        bare = bare_argon2(4)
        load = os.getloadavg()[0]
        with server(Path(name), port) as running:
            target = Target(port, client_id, secret, token, *form_token(port), owners, chosen.forged)
            measure(target, 2, with_owners=False)  # warm up
            rate = chosen.rate or chosen.times * bare
            rounds = [one_round(target, running.pid, chosen.seconds, rate) for _ in range(chosen.rounds)]
    if chosen.json:
        print(json.dumps({"bare_argon2_per_s": bare, "rounds": rounds}, indent=1))
        return
    print(f"cores {CORES}; bare Argon2 {bare:.1f} a second; storm wanted {rate:.0f} a second; load {load:.2f}")
    lines = (
        ("introspections/s, quiet", "quiet_per_s", "{:.0f}"),
        ("introspections/s, storm", "storm_per_s", "{:.0f}"),
        ("kept (goal 0.5)", "kept", "{:.2f}"),
        ("p99 quiet, ms", "quiet_p99_ms", "{:.0f}"),
        ("p50 storm, ms", "storm_p50_ms", "{:.0f}"),
        ("p99 storm, ms (goal 250)", "storm_p99_ms", "{:.0f}"),
        ("introspections failed", "failed", "{}"),
        ("known browsers tried", "owners", "{}"),
        ("known browsers in", "owners_in", "{}"),
        ("  median, ms", "owners_median_ms", "{:.0f}"),
        ("  slowest, ms", "owners_slowest_ms", "{:.0f}"),
        ("storm sent/s", "sent_per_s", "{:.0f}"),
        ("  no connection free", "skipped", "{}"),
        ("  its share of one core", "cpu", "{:.2f}"),
        ("server's share of cores", "server_share", "{:.2f}"),
        ("storm's answers", "statuses", "{}"),
    )
    for label, key, form in lines:
        print(f"{label:26}" + "  ".join(f"{form.format(r[key]):>12}" for r in rounds))


if __name__ == "__main__":
    main()
