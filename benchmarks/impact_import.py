"""Millions of packages and maintainers are imported while people sign in: time, memory, and what the others notice.

    .venv/bin/python benchmarks/impact_import.py [--database sqlite|postgresql] [--share 1.0] [--files FOLDER]

Makes accounts and files (3 million packages, 5 million maintainers, 1 million accounts, times `--share`), starts the
real server in a throw-away folder, and runs `authsvc impact import` beside it: first, and the same again. Two
people sign in and a service introspects tokens, each with a tenth of a second between two requests, before the import
and while it runs; `--no-load` leaves them out. Then `authsvc mandates apply`, with a phase that covers 450,000
accounts, likewise. The real file of the examples is imported twice as well. PostgreSQL is started for the occasion.
Each command runs in a process of its own, which notes how long its stages take.
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
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sign_in import PASSWORD, Client, prepare, server

# As an operator would run it, not as tests do.
POSTGRESQL = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "autovacuum": "on",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
}
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
    """Both files, a line at a time; those of an earlier run are taken again."""
    files = [folder / f"packages-{packages}.csv", folder / f"maintainers-{maintainers}.csv"]
    if all(file.exists() for file in files):
        return files
    figure = random.Random(1)
    with files[0].open("w") as file:
        file.write("ecosystem,name,weekly_downloads,dependents\n")
        for number in range(packages):
            downloads, dependents = 10 ** (7.2 * figure.random()), 10 ** (3.2 * figure.random()) - 1
            file.write(f"{name_of(number)},{downloads:.0f},{dependents:.0f}\n")
    unfinished = files[1].with_suffix(".part")
    with unfinished.open("w") as file:
        file.write("ecosystem,package,account,role\n")
        for number in range(maintainers):
            turn, package = divmod(number, packages)  # no package has one account twice
            account = (package * 7919 + turn * 104_729 + 1) % accounts
            file.write(f"{name_of(package)},user-{account:07d},{'owner' if turn else 'maintainer'}\n")
    unfinished.rename(files[1])
    return files


def make_accounts(number: int) -> None:
    """Accounts by name alone, in one statement."""
    from sqlalchemy import text

    from authsvc.app import create_app
    from authsvc.core import db

    fill = text(
        "WITH RECURSIVE count (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM count WHERE n + 1 < :number) "
        "INSERT INTO accounts (sub, username, created_at, epoch, is_staff) SELECT 's' || n, "
        "'user-' || substr(CAST(10000000 + n AS varchar(8)), 2), CURRENT_TIMESTAMP, 1, FALSE FROM count"
    )
    with create_app().app_context(), db.transaction() as session:
        session.execute(fill, {"number": number})


# Run as a process of its own: a command, with the time that its stages take


class Stages:
    """Seconds and seconds of the processor, by stage."""

    def __init__(self) -> None:
        self.spent: dict[str, tuple[float, float]] = {}
        self.open = False

    def watch(self, owner: Any, name: str, stage: str) -> None:
        """Count what a function takes, unless another one that is counted called it."""
        function = getattr(owner, name)

        def timed(*args: Any, **options: Any) -> Any:
            if self.open:
                return function(*args, **options)
            self.open, begun, used = True, time.perf_counter(), time.process_time()
            try:
                return function(*args, **options)
            finally:
                seconds, cpu = self.spent.get(stage, (0.0, 0.0))
                self.spent[stage] = seconds + time.perf_counter() - begun, cpu + time.process_time() - used
                self.open = False

        setattr(owner, name, timed)


def run_command(arguments: list[str]) -> None:
    """The command itself; stages go to standard error."""
    begun, used = time.perf_counter(), time.process_time()
    from authsvc.cli import main as command
    from authsvc.mandates import (
        figures,
        given,
        guarding,
        importing,
        membership,
        phases,
        scratch,
        service,
        snapshots,
        telling,
    )

    stages = Stages()
    for owner, name, stage in (
        (importing._Reading, "into", "read"),
        (scratch.Scratch, "sort", "order"),
        (importing, "_know", "know"),
        (scratch.Scratch, "compare", "compare"),
        (guarding.Guard, "check", "guard"),
        (importing, "_put_down", "write"),
        (importing, "_place", "place"),
        (snapshots.Lease, "make_current", "switch"),
        (importing, "tidy", "tidy"),
        (snapshots, "tidy", "tidy"),
        (importing, "match_accounts", "match"),
        (service, "match_accounts", "match"),
        (phases, "write_down", "phases"),
        (membership, "changes", "changes"),
        (given, "give_all", "give"),
        (service, "_let_go", "let go"),
        (telling, "tell_due", "tell"),
        (figures, "keep", "figures"),
    ):
        stages.watch(owner, name, stage)
    stages.spent["start"] = time.perf_counter() - begun, time.process_time() - used
    try:
        command(arguments, standalone_mode=False)
    finally:
        print(json.dumps(stages.spent), file=sys.stderr)


@dataclass
class Run:
    """What one command took."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    said: dict[str, Any]
    stages: dict[str, tuple[float, float]]

    def __str__(self) -> str:
        stages = ", ".join(f"{name} {seconds:.1f} ({cpu:.1f})" for name, (seconds, cpu) in self.stages.items())
        return (
            f"{self.seconds:6.1f} s   {self.cpu_seconds:6.1f} CPU-s   peak {self.peak_mb:,.0f} MB\n"
            f"  stages, seconds (CPU): {stages}"
        )

    def told(self) -> str:
        """What an import said of its files."""
        added, changed = (sum(told[key] for told in self.said["files"]) for key in ("added", "changed"))
        return f"added {added:,}, changed {changed:,}"


def run(*arguments: str, nice: bool) -> Run:
    """Run a command that prints JSON."""
    command = [*(["nice"] if nice else []), sys.executable, __file__, "--command", *arguments]
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as noted:
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=noted)
        assert running.stdout
        said = running.stdout.read()
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
        noted.seek(0)
        lines = noted.read().decode().strip().splitlines()
    assert running.returncode == 0, f"failed: {lines}"
    return Run(
        seconds=time.perf_counter() - begun,
        cpu_seconds=used.ru_utime + used.ru_stime,
        peak_mb=used.ru_maxrss / 1024,
        said=json.loads(said),
        stages=json.loads(lines[-1]),
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
        try:
            yield
        finally:
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


PHASE = """[benchmark]
dependents = 690
enforced_from = 2020-01-01
"""


def measure(folder: Path, kept: Path, chosen: argparse.Namespace) -> None:
    """Everything on the database that the environment names."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    share, nice = chosen.share, chosen.nice
    client_id, secret, token = prepare(folder, port, PEOPLE)
    (folder / "mandates.toml").write_text(PHASE)
    make_accounts(int(ACCOUNTS * share))
    files = write_files(kept, int(PACKAGES * share), int(MAINTAINERS * share), int(ACCOUNTS * share))
    loads: dict[str, Load] = {}
    quiet: dict[str, tuple[float, float, float]] = {}

    def beside(name: str, *arguments: str) -> None:
        with ExitStack() as parts:
            for load in loads.values():
                parts.enter_context(load.running())
            done = run(*arguments, nice=nice)
        print(f"{name:22} {done}   {done.told() if 'files' in done.said else done.said}")
        for name, load in loads.items():
            (rate, median, p99), (was, median_was, p99_was) = load.said(), quiet[name]
            print(
                f"  {name:20} {rate:6.1f} a second (quiet {was:.1f}, ratio {rate / was:.2f})   "
                f"median {median:.0f} ms ({median_was:.0f})   p99 {p99:.0f} ms ({p99_was:.0f})   "
                f"failed {load.failed}"
            )
        print(f"  database {sum(file.stat().st_size for file in folder.glob('*.db*')) >> 20:,} MB", flush=True)

    beside("real file", "impact", "import", "--json", str(REAL))
    beside("real file again", "impact", "import", "--json", str(REAL))
    with ExitStack() as parts:
        if not chosen.no_load:
            parts.enter_context(server(folder, port))
            loads["sign-ins"] = Load([sign_in(port, number) for number in range(2)])
            loads["introspections"] = Load([introspect(port, client_id, secret, token)])
            with ExitStack() as all_of_them:
                for load in loads.values():
                    all_of_them.enter_context(load.running())
                time.sleep(chosen.quiet_seconds)
            quiet |= {name: load.said() for name, load in loads.items()}
        beside("whole snapshot", "impact", "import", "--json", *map(str, files))
        beside("the same again", "impact", "import", "--json", *map(str, files))
        if chosen.no_apply:
            return
        beside("mandates apply", "mandates", "apply", "--json")
        beside("apply again", "mandates", "apply", "--json")


def main() -> None:
    """Print the figures."""
    sys.path.insert(0, str(ROOT))
    if sys.argv[1:2] == ["--command"]:
        run_command(sys.argv[2:])
        return
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    options.add_argument("--share", type=float, default=1.0)
    options.add_argument("--files", type=Path, help="keep the files made here, for the next run")
    options.add_argument("--quiet-seconds", type=float, default=20)
    options.add_argument("--no-load", action="store_true", help="nobody signs in meanwhile")
    options.add_argument("--no-apply", action="store_true", help="leave `mandates apply` out")
    options.add_argument("--nice", action="store_true", help="let the server go first")
    chosen = options.parse_args()
    from authsvc.core import crypto

    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory()))
        if chosen.database == "postgresql":
            from tests import servers

            cluster = parts.enter_context(servers.postgres(**POSTGRESQL))
            os.environ["AUTHSVC_DATABASE_URL"] = parts.enter_context(cluster.database())
        crypto.load_keys(folder / "sealing-keys", create=True)
        kept = chosen.files or folder
        kept.mkdir(parents=True, exist_ok=True)
        print(f"{chosen.database}, load of the machine {os.getloadavg()[0]:.1f}", flush=True)
        measure(folder, kept, chosen)


if __name__ == "__main__":
    main()
