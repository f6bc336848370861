"""How many domains a sweep looks at in a second of CPU, beside dnspython's own asynchronous resolver. One run, ratios.

    .venv/bin/python benchmarks/sweep.py [--domains 100000] [--rounds 3] [--stream 1000000] [--whole 5000]

Needs NSD (`scripts/system-packages bench` installs it) and starts it in a throw-away folder, with minimal responses and
a zone for each domain. Both ways ask it the same two questions about every domain, MX and NS, with at most 200 under
way, by turns in the same process; what counts is that process's CPU time, since the server works on the same cores. The
plain way is much slower, so it gets a twentieth of the domains. Every answer is checked.

Then a fresh process asks about a stream of a million names and looks at its own memory. At last whole sweeps, with
database and judgement: with the fast path, and with an ordinary look at each domain.
"""

import argparse
import asyncio
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dns.asyncresolver
import dns.exception
import dns.message
import dns.query

from authsvc.adapters.dns_bulk import IN_FLIGHT, BulkDns, Kind, Question

KINDS = 10  # zones that look alike are one file; what they say differs from file to file
COMPANY = """$TTL 3600
@ SOA ns1.host{n}.net. admin.host{n}.net. 1 3600 900 604800 300
@ NS ns1.host{n}.net.
@ NS ns2.host{n}.net.
"""
MAIL = "@ MX 1 mx.mail{n}.com.\n@ MX 5 alt1.mx.mail{n}.com.\n@ MX 5 alt2.mx.mail{n}.com.\n"
OWN = "@ MX 10 mail\n@ MX 20 backup.mail\n"
HOSTS = "mx A 203.0.113.1\nmx AAAA 2001:db8::1\nalt1.mx A 203.0.113.2\nalt2.mx A 203.0.113.3\n"


def name_of(number: int) -> str:
    """The domain of that number."""
    return f"domain-{number}.org"


def mail_of(number: int) -> frozenset[str]:
    """Its mail hosts."""
    kind = number % KINDS
    if kind < KINDS - 2:
        return frozenset(f"{host}.mail{kind}.com" for host in ("mx", "alt1.mx", "alt2.mx"))
    return frozenset(f"{host}.{name_of(number)}" for host in ("mail", "backup.mail"))


def servers_of(number: int) -> frozenset[str]:
    """Its name servers."""
    return frozenset(f"ns{n}.host{number % KINDS}.net" for n in (1, 2))


@contextmanager
def nsd(folder: Path, count: int) -> Iterator[int]:
    """NSD with that many zones; gives its port."""
    program = shutil.which("nsd") or shutil.which("nsd", path="/usr/sbin")
    if program is None:
        raise SystemExit("NSD is missing: run scripts/system-packages bench")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    zones = [f"  name: {name_of(number)}\n  zonefile: {number % KINDS}.zone\n" for number in range(count)]
    for kind in range(KINDS):
        mail = MAIL.format(n=kind) if kind < KINDS - 2 else OWN
        (folder / f"{kind}.zone").write_text(COMPANY.format(n=kind) + mail)
        for name, records in ((f"mail{kind}.com", HOSTS), (f"host{kind}.net", "")):
            (folder / f"{name}.zone").write_text(COMPANY.format(n=kind) + records)
            zones.append(f"  name: {name}\n  zonefile: {name}.zone\n")
    paths = "".join(f'  {name}: "{folder}/{name}"\n' for name in ("pidfile", "zonelistfile", "xfrdfile", "logfile"))
    server = (
        f'server:\n  ip-address: 127.0.0.1\n  port: {port}\n  username: ""\n  chroot: ""\n{paths}'
        f'  zonesdir: "{folder}"\n  xfrdir: "{folder}"\n  minimal-responses: yes\n  server-count: 1\n'
        "remote-control:\n  control-enable: no\n"
    )
    config = folder / "nsd.conf"
    config.write_text(server + "".join(f"zone:\n{zone}" for zone in zones))
    running = subprocess.Popen([program, "-d", "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        query = dns.message.make_query(name_of(count - 1), "MX")
        for _ in range(600):
            if running.poll() is not None:
                raise SystemExit(f"NSD ended:\n{(folder / 'logfile').read_text()}")
            try:
                if dns.query.udp(query, "127.0.0.1", port=port, timeout=0.5).answer:
                    break
            except (dns.exception.DNSException, OSError):
                time.sleep(0.1)
        yield port
    finally:
        running.terminate()
        running.wait(30)


def questions(numbers: range, count: int) -> Iterator[Question]:
    """Two for each domain; the numbers start again where the zones end."""
    for number in numbers:
        yield name_of(number % count), Kind.MX
        yield name_of(number % count), Kind.NS


def fast(port: int, numbers: range, count: int) -> float:
    """CPU seconds of the fast path. Every answer must be right."""
    wanted = {
        **{(name_of(n), Kind.MX): mail_of(n) for n in numbers},
        **{(name_of(n), Kind.NS): servers_of(n) for n in numbers},
    }
    began, answers = time.process_time(), []
    for answer in BulkDns(f"127.0.0.1:{port}").ask(questions(numbers, count)):
        answers.append(answer)
    spent = time.process_time() - began
    assert dict(answers) == wanted, "an answer is missing or wrong"
    return spent


def plain(port: int, numbers: range) -> float:
    """CPU seconds of dnspython's asynchronous resolver, as its manual shows it. Every answer must be right."""

    async def work() -> None:
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers, resolver.port, resolver.lifetime = ["127.0.0.1"], port, 30
        todo = iter(numbers)

        async def one() -> None:
            for number in todo:
                mx = await resolver.resolve(name_of(number), "MX")
                ns = await resolver.resolve(name_of(number), "NS")
                assert {r.exchange.to_text(omit_final_dot=True) for r in mx} == mail_of(number)
                assert {r.target.to_text(omit_final_dot=True) for r in ns} == servers_of(number)

        await asyncio.gather(*(one() for _ in range(IN_FLIGHT)))

    began = time.process_time()
    asyncio.run(work())
    return time.process_time() - began


def resident_kib() -> int:
    """Memory of this process that is in RAM now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


def stream(port: int, total: int, count: int) -> None:
    """Ask about a stream of names and print the memory on the way. Runs in a process of its own."""
    marks, unanswered = {10_000, 100_000, total}, 0
    for done, (_question, answer) in enumerate(BulkDns(f"127.0.0.1:{port}").ask(questions(range(total), count)), 1):
        unanswered += answer is None
        if done % 2 == 0 and done // 2 in marks:
            print(f"memory after {done // 2:>9,} domains: {resident_kib():,} KiB ({unanswered} questions unanswered)")


def whole(port: int, folder: Path, count: int) -> tuple[float, float]:
    """CPU seconds for a domain in a whole sweep on SQLite: with the fast path, and without. Each has an account."""
    os.environ["AUTHSVC_INSTANCE_PATH"] = str(folder)
    from authsvc import accounts, domains
    from authsvc.app import create_app
    from authsvc.core import config, crypto, db, migrate
    from authsvc.core.evidence import DnsEvidence, MailHost, RdapEvidence, RdapOutcome
    from authsvc.domains.hosts import HostDomain

    settings = replace(config.load({"AUTHSVC_INSTANCE_PATH": str(folder)}), dns_resolvers=f"127.0.0.1:{port}")
    migrate.upgrade(settings.database)
    crypto.load_keys(settings.sealing_keys, create=True)
    app, now = create_app(settings), datetime(2026, 1, 1, tzinfo=UTC)
    told = RdapEvidence(outcome=RdapOutcome.FOUND, registered_at=now - timedelta(days=4000), registrar="Somebody")
    long_ago = now - timedelta(days=400)
    numbers = [n for n in range(count * 2) if n % KINDS < KINDS - 2][:count]  # mail at companies
    addresses = {"mx": ("203.0.113.1", "2001:db8::1"), "alt1.mx": ("203.0.113.2",), "alt2.mx": ("203.0.113.3",)}
    with app.app_context():
        with db.transaction() as session:
            for kind in range(KINDS):
                session.add(HostDomain(name=f"mail{kind}.com", rdap=told.as_json(), asked_at=now))
            for number in numbers:
                company = f"mail{number % KINDS}.com"
                hosts = tuple(MailHost(name=f"{h}.{company}", addresses=ips) for h, ips in addresses.items())
                seen = DnsEvidence(mail_hosts=hosts, name_servers=tuple(sorted(servers_of(number))))
                session.add(
                    domains.Domain(
                        name=name_of(number),
                        verdict="healthy",
                        reason="OK",
                        dns=seen.as_json(),
                        rdap=told.as_json(),
                        hosts_rdap={company: told.as_json()},
                        checked_at=now,
                        rdap_checked_at=now,
                        judged_at=now,
                        next_check_at=now,
                    )
                )
                owner = accounts.create(username=f"owner-{number}", now=long_ago)
                email = f"me@{name_of(number)}"
                accounts.add_address(owner, email, is_primary=True, verified_at=long_ago, now=long_ago)
        spent = []
        known = app.extensions["authsvc.adapters"]
        for part, limit, day in ((known.dns_bulk, count, 2), (None, max(count // 20, 1), 4)):
            app.extensions["authsvc.adapters"] = replace(known, dns_bulk=part)
            began = time.process_time()
            report = domains.sweep(limit=limit, now=now + timedelta(days=day), at_most=None)
            spent.append((time.process_time() - began) / report.checked)
            assert report.verdicts == {"healthy": limit}, report
            assert report.as_before == (limit if part else 0), report
    return spent[0], spent[1]


def main() -> None:
    """Run all of it and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--domains", type=int, default=100_000, help="zones the server has")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--stream", type=int, default=1_000_000, help="names in the stream; 0: leave it out")
    arguments.add_argument("--whole", type=int, default=5000, help="domains in a whole sweep; 0: leave it out")
    arguments.add_argument("--memory-of", type=int, metavar="PORT", help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    count = chosen.domains
    if chosen.memory_of:
        stream(chosen.memory_of, chosen.stream, count)
        return
    with tempfile.TemporaryDirectory(prefix="authsvc-sweep-") as made, nsd(Path(made), count) as port:
        share, rates = count // chosen.rounds, []
        for number in range(chosen.rounds):
            numbers = range(number * share, (number + 1) * share)
            few = range(numbers.start, numbers.start + max(share // 20, 1))
            rates.append((len(numbers) / fast(port, numbers, count), len(few) / plain(port, few)))
            print(f"round {number + 1}: fast path {rates[-1][0]:,.0f}, dns.asyncresolver {rates[-1][1]:,.0f}", end="")
            print(f" domains a CPU-second: {rates[-1][0] / rates[-1][1]:.1f} times")
        ratios = sorted(ours / theirs for ours, theirs in rates)
        print(f"median {ratios[len(ratios) // 2]:.1f} times (goal 6)", flush=True)
        if chosen.stream:
            again = [sys.executable, __file__, "--domains", str(count), "--stream", str(chosen.stream)]
            subprocess.run([*again, "--memory-of", str(port)], check=True)
        if chosen.whole:
            instance = Path(made) / "instance"
            instance.mkdir()
            with_it, without = whole(port, instance, chosen.whole)
            print(
                f"whole sweep: {1 / with_it:,.0f} domains a CPU-second, without the fast path {1 / without:,.0f}",
                end="",
            )
            print(f": {without / with_it:.1f} times")


if __name__ == "__main__":
    main()
