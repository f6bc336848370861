"""How fast people sign in and services check tokens, beside what the hash alone would allow. One run, ratios.

    .venv/bin/python benchmarks/sign_in.py [--seconds 20] [--clients 6]

Starts the real server with its defaults in a throw-away folder (SQLite), makes accounts, and sends loopback traffic:
`POST /login` with the right password up to the redirect to the next step, as a browser would. Bare Argon2 runs in as
many processes as there are cores, before and after, in the same run.
"""

import argparse
import base64
import http.client
import json
import multiprocessing
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from argon2 import PasswordHasher

PASSWORD = "correct horse battery staple"
CORES = os.cpu_count() or 1
FORM = "application/x-www-form-urlencoded"


def _hash_for(seconds: float, done: "multiprocessing.Queue[int]") -> None:
    hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
    hashed = hasher.hash(PASSWORD)
    count, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        hasher.verify(hashed, PASSWORD)
        count += 1
    done.put(count)


def bare_argon2(seconds: float) -> float:
    """Verifications per second on all cores, with nothing around them."""
    done: multiprocessing.Queue[int] = multiprocessing.Queue()
    processes = [multiprocessing.Process(target=_hash_for, args=(seconds, done)) for _ in range(CORES)]
    for process in processes:
        process.start()
    total = sum(done.get() for _ in processes)
    for process in processes:
        process.join()
    return total / seconds


@contextmanager
def server(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The server as `authsvc serve` starts it, with one trusted proxy, so that clients have networks of their own."""
    environment = {
        **os.environ,
        "AUTHSVC_INSTANCE_PATH": str(folder),
        "AUTHSVC_BASE_URL": f"http://localhost:{port}",
        "AUTHSVC_HIBP_BASE_URL": "off",
        "AUTHSVC_TRUSTED_PROXIES": "1",
    }
    command = [
        sys.executable,
        "-m",
        "authsvc.cli",
        "serve",
        "--port",
        str(port),
        "--workers",
        str(CORES),
        "--no-worker",
    ]
    running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield running
    finally:
        running.terminate()
        running.wait(timeout=30)


def cpu_seconds(root: int) -> float:
    """CPU time so far of a process and its children."""
    total, ticks = 0.0, os.sysconf("SC_CLK_TCK")
    parents: dict[int, tuple[int, float]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = (int(fields[1]), (int(fields[11]) + int(fields[12])) / ticks)
    family = {root}
    while True:
        more = {pid for pid, (parent, _) in parents.items() if parent in family} - family
        if not more:
            break
        family |= more
    for pid in family:
        total += parents.get(pid, (0, 0.0))[1]
    return total


class Client:
    """One keep-alive connection from a network of its own."""

    def __init__(self, port: int, number: int) -> None:
        self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.headers = {"Host": f"localhost:{port}", "Content-Type": FORM, "X-Forwarded-Host": f"localhost:{port}"}
        self.number, self.sent = number, 0

    def request(
        self, method: str, path: str, body: str = "", **headers: str
    ) -> tuple[int, http.client.HTTPResponse, bytes]:
        """Send one request; every 50th comes from another network."""
        self.sent += 1
        network = f"10.{self.number}.{self.sent // 50 // 250}.{self.sent // 50 % 250}"
        self.http.request(method, path, body, {**self.headers, "X-Forwarded-For": network, **headers})
        response = self.http.getresponse()
        return response.status, response, response.read()


def drive(clients: int, seconds: float, make: Callable[[int], Callable[[], bool]]) -> tuple[float, int]:
    """Run `make(n)()` in a thread each for so long; successes per second, and failures."""
    good, bad = [0] * clients, [0] * clients
    steps = [make(n) for n in range(clients)]
    end = time.perf_counter() + seconds

    def loop(number: int) -> None:
        while time.perf_counter() < end:
            if steps[number]():
                good[number] += 1
            else:
                bad[number] += 1

    begun = time.perf_counter()
    threads = [threading.Thread(target=loop, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(good) / (time.perf_counter() - begun), sum(bad)


def prepare(folder: Path, port: int, accounts_wanted: int) -> tuple[str, str, str]:
    """Make accounts that share one hash, a client and a token; returns client id, secret and token."""
    os.environ.update({"AUTHSVC_INSTANCE_PATH": str(folder), "AUTHSVC_HIBP_BASE_URL": "off"})
    subprocess.run([sys.executable, "-m", "authsvc.cli", "db", "upgrade"], check=True, stdout=subprocess.DEVNULL)
    from authsvc import accounts, passwords, tokens
    from authsvc.app import create_app, utc_now
    from authsvc.core import db
    from authsvc.core.assurance import Acr

    app, now = create_app(), utc_now()
    with app.app_context():
        hashed = passwords.hash_new(PASSWORD)
        with db.transaction():
            for number in range(accounts_wanted):
                account_id = accounts.create(username=f"person{number}", now=now)
                email = f"person{number}@example.test"
                accounts.add_address(account_id, email, is_primary=True, verified_at=now, now=now)
                passwords.set_hash(account_id, hashed, now=now)
    scope = "packages:read"
    command = ["clients", "create", "Registry", "--device", "--resource-server", "--scope", scope, "--json"]
    made = subprocess.run([sys.executable, "-m", "authsvc.cli", *command], check=True, capture_output=True)
    client = json.loads(made.stdout)
    with app.app_context(), db.transaction():
        account = accounts.find("person0")
        assert account
        grant_id = tokens.open_grant(
            account.id,
            client_id=client["client_id"],
            label="Benchmark",
            scopes=frozenset({scope}),
            writes_from=None,
            epoch=account.epoch,
            acr=Acr.AAL1,
            amr=frozenset({"pwd"}),
            auth_time=now,
            session_id=None,
            now=now,
        )
        assert grant_id
        issued = tokens.issue(grant_id, with_refresh=False, now=now)
        assert isinstance(issued, tokens.Issued)
    return client["client_id"], client["client_secret"], issued.access_token


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=float, default=20)
    options.add_argument("--clients", type=int, default=6)
    chosen = options.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    accounts_wanted = 2000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        client_id, secret, token = prepare(folder, port, accounts_wanted)
        before = bare_argon2(chosen.seconds / 4)
        with server(folder, port) as running:

            def sign_in(number: int) -> Callable[[], bool]:
                client = Client(port, number + 1)
                _, response, page = client.request("GET", "/login")
                cookie = (response.getheader("Set-Cookie") or "").partition(";")[0]
                found = re.search(rb'name="csrf_token" value="([^"]+)"', page)
                csrf = found[1].decode() if found else ""
                turn = iter(range(number, 10**9, chosen.clients))

                def step() -> bool:
                    name = f"person{next(turn) % accounts_wanted}"
                    body = urlencode({"csrf_token": csrf, "username": name, "password": PASSWORD})
                    status, response, _ = client.request("POST", "/login", body, Cookie=cookie)
                    return status == 303 and (response.getheader("Location") or "").endswith("/login/next")

                return step

            def introspect(number: int) -> Callable[[], bool]:
                client = Client(port, number + 101)
                basic = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
                body = urlencode({"token": token})

                def step() -> bool:
                    status, _, answer = client.request(
                        "POST", "/oauth2/introspect", body, Authorization=f"Basic {basic}"
                    )
                    return status == 200 and bool(json.loads(answer)["active"])

                return step

            drive(chosen.clients, 1, sign_in)  # warm up
            spent = cpu_seconds(running.pid)
            begun = time.perf_counter()
            sign_ins, refused = drive(chosen.clients, chosen.seconds, sign_in)
            server_share = (cpu_seconds(running.pid) - spent) / (time.perf_counter() - begun) / CORES
            drive(chosen.clients, 1, introspect)
            checks, missed = drive(chosen.clients, chosen.seconds / 2, introspect)
        after = bare_argon2(chosen.seconds / 4)
    bare = (before + after) / 2
    print(f"cores                               {CORES}")
    print(f"bare Argon2 verifications per s     {bare:8.1f}   (before {before:.1f}, after {after:.1f})")
    print(f"password sign-ins per s             {sign_ins:8.1f}   ({refused} refused or busy)")
    print(f"share of bare Argon2                {sign_ins / bare:8.2f}")
    print(f"share, per CPU-second of the server {sign_ins / server_share / bare:8.2f}   (the load takes the rest)")
    print(f"introspections per s                {checks:8.1f}   ({missed} refused)")


if __name__ == "__main__":
    main()
