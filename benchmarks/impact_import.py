"""Millions of packages and maintainers are imported while people sign in: time, memory, and what the others notice.

    .venv/bin/python benchmarks/impact_import.py [--database sqlite|postgresql] [--share 1.0] [--nice]

Makes accounts and files (3 million packages, 5 million maintainers, 1 million accounts, times `--share`), starts the
real server in a throw-away folder, and runs `authsvc impact import` beside it: first, and the same again. Two
people sign in and a service introspects tokens, each with a tenth of a second between two requests, before the import
and while it runs. The real file of the examples is imported twice as well. PostgreSQL is started for the occasion.
"""

import argparse
import base64
import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import urlencode

from sign_in import PASSWORD, Client, prepare, server

ROOT = Path(__file__).parents[1]
REAL = ROOT / "examples" / "impact" / "packages.csv.gz"
PACKAGES, MAINTAINERS, ACCOUNTS = 3_000_000, 5_000_000, 1_000_000
ECOSYSTEMS = ("crates", "maven", "nuget")  # not those of the real file, which stay as they are
PAUSE = 0.1  # seconds between two requests of one client
PEOPLE = 2000


def name_of(number: int) -> str:
    """Names in no order, as in real exports."""
    return f"{ECOSYSTEMS[number % 3]},{number * 2654435761 % 4294967296:08x}-{number}"


def write_files(folder: Path, packages: int, maintainers: int, accounts: int) -> list[Path]:
    """Both files, a line at a time."""
    files = [folder / "packages.csv", folder / "maintainers.csv"]
    figure = random.Random(1)
    with files[0].open("w") as file:
        file.write("ecosystem,name,weekly_downloads,dependents\n")
        for number in range(packages):
            downloads, dependents = 10 ** (7.2 * figure.random()), 10 ** (3.2 * figure.random()) - 1
            file.write(f"{name_of(number)},{downloads:.0f},{dependents:.0f}\n")
    with files[1].open("w") as file:
        file.write("ecosystem,package,account,role\n")
        for number in range(maintainers):
            turn, package = divmod(number, packages)  # no package has one account twice
            account = (package * 7919 + turn * 104_729 + 1) % accounts
            file.write(f"{name_of(package)},user-{account:07d},{'owner' if turn else 'maintainer'}\n")
    return files


def make_accounts(number: int) -> None:
    """Accounts by name alone, in bulk."""
    from sqlalchemy import insert

    from authsvc.accounts import AccountRow
    from authsvc.app import create_app, utc_now
    from authsvc.core import db

    now = utc_now()
    rows = ({"sub": f"s{n}", "username": f"user-{n:07d}", "created_at": now, "epoch": 1} for n in range(number))
    with create_app().app_context():
        while some := list(islice(rows, 20_000)):
            with db.transaction() as session:
                session.connection().execute(insert(AccountRow.__table__), some)  # type: ignore[arg-type]


@dataclass
class Run:
    """What one import took."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    files: list[dict[str, int]]


def import_files(*files: Path, nice: bool) -> Run:
    """Run the command."""
    command = [
        *(["nice"] if nice else []),
        sys.executable,
        "-m",
        "authsvc.cli",
        "impact",
        "import",
        "--json",
        *map(str, files),
    ]
    begun = time.perf_counter()
    running = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert running.stdout
    said = running.stdout.read()
    _, status, used = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)
    assert running.returncode == 0, "the import failed"
    return Run(
        seconds=time.perf_counter() - begun,
        cpu_seconds=used.ru_utime + used.ru_stime,
        peak_mb=used.ru_maxrss / 1024,
        files=json.loads(said)["files"],
    )


class Load:
    """Clients that sign in or introspect until they are told to stop."""

    def __init__(self, steps: list[Callable[[], bool]]) -> None:
        self.taken: list[float] = []
        self.failed = 0
        self.steps = steps

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run meanwhile."""
        stop = threading.Event()
        self.taken, self.failed, begun = [], 0, time.perf_counter()

        def loop(step: Callable[[], bool]) -> None:
            while not stop.wait(PAUSE):
                start = time.perf_counter()
                if step():
                    self.taken.append(time.perf_counter() - start)
                else:
                    self.failed += 1

        threads = [threading.Thread(target=loop, args=(step,)) for step in self.steps]
        for thread in threads:
            thread.start()
        yield
        stop.set()
        for thread in threads:
            thread.join()
        self.seconds = time.perf_counter() - begun

    def said(self) -> tuple[float, float, float]:
        """How many a second, their median and their 99th percentile in ms."""
        cut = statistics.quantiles(self.taken, n=100) if len(self.taken) > 1 else [0.0] * 99
        return len(self.taken) / self.seconds, cut[49] * 1000, cut[98] * 1000


def sign_in(port: int, number: int) -> Callable[[], bool]:
    """One person after another gives the right password, up to the redirect to the next step."""
    client = Client(port, number + 1)
    _, response, page = client.request("GET", "/login")
    cookie = (response.getheader("Set-Cookie") or "").partition(";")[0]
    found = re.search(rb'name="csrf_token" value="([^"]+)"', page)
    csrf = found[1].decode() if found else ""
    turn = iter(range(number, 10**9, 2))

    def step() -> bool:
        body = urlencode({"csrf_token": csrf, "username": f"person{next(turn) % PEOPLE}", "password": PASSWORD})
        status, response, _ = client.request("POST", "/login", body, Cookie=cookie)
        return status == 303 and (response.getheader("Location") or "").endswith("/login/next")

    return step


def introspect(port: int, client_id: str, secret: str, token: str) -> Callable[[], bool]:
    """A service asks about a token."""
    client = Client(port, 101)
    basic = base64.b64encode(f"{client_id}:{secret}".encode()).decode()

    def step() -> bool:
        body = urlencode({"token": token})
        status, _, answer = client.request("POST", "/oauth2/introspect", body, Authorization=f"Basic {basic}")
        return status == 200 and bool(json.loads(answer)["active"])

    return step


def measure(folder: Path, share: float, quiet_seconds: float, nice: bool) -> None:
    """Everything on the database that the environment names."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client_id, secret, token = prepare(folder, port, PEOPLE)
    make_accounts(int(ACCOUNTS * share))
    for turn in ("real file", "real file again"):
        run = import_files(REAL, nice=nice)
        told = run.files[0]
        print(f"{turn:22} {run.seconds:6.1f} s   added {told['added']:,}, changed {told['changed']:,}", flush=True)
    files = write_files(folder, int(PACKAGES * share), int(MAINTAINERS * share), int(ACCOUNTS * share))
    with server(folder, port):
        loads = {
            "sign-ins": Load([sign_in(port, number) for number in range(2)]),
            "introspections": Load([introspect(port, client_id, secret, token)]),
        }
        quiet = {}
        with ExitStack() as both:
            for load in loads.values():
                both.enter_context(load.running())
            time.sleep(quiet_seconds)
        for name, load in loads.items():
            quiet[name] = load.said()
        for turn in ("whole snapshot", "the same again"):
            with ExitStack() as both:
                for load in loads.values():
                    both.enter_context(load.running())
                run = import_files(*files, nice=nice)
            added, changed = (sum(told[key] for told in run.files) for key in ("added", "changed"))
            print(
                f"{turn:22} {run.seconds:6.1f} s   {run.cpu_seconds:6.1f} CPU-s   peak {run.peak_mb:,.0f} MB   "
                f"added {added:,}, changed {changed:,}"
            )
            for name, load in loads.items():
                (rate, median, p99), (was, median_was, p99_was) = load.said(), quiet[name]
                print(
                    f"  {name:20} {rate:6.1f} a second (quiet {was:.1f}, ratio {rate / was:.2f})   "
                    f"median {median:.0f} ms ({median_was:.0f})   p99 {p99:.0f} ms ({p99_was:.0f})   "
                    f"failed {load.failed}",
                    flush=True,
                )


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    options.add_argument("--share", type=float, default=1.0)
    options.add_argument("--quiet-seconds", type=float, default=20)
    options.add_argument("--nice", action="store_true", help="let the server go first")
    chosen = options.parse_args()
    sys.path.insert(0, str(ROOT))
    from authsvc.core import crypto

    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory()))
        if chosen.database == "postgresql":
            from tests import servers

            cluster = parts.enter_context(servers.postgres())
            os.environ["AUTHSVC_DATABASE_URL"] = parts.enter_context(cluster.database())
        crypto.load_keys(folder / "sealing-keys", create=True)
        print(f"{chosen.database}, load of the machine {os.getloadavg()[0]:.1f}", flush=True)
        measure(folder, chosen.share, chosen.quiet_seconds, chosen.nice)


if __name__ == "__main__":
    main()
