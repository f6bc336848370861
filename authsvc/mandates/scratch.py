"""Where the lines of an import are put in order and compared with what is known, outside the database.

A private SQLite file that is gone with its process, so nothing here makes a sign-in wait. Memory stays within
`CACHE_KIB` however long the files are. Where the database is SQLite too, it is attached, and rows go from one to the
other without passing through Python; where it is another, they come and go as they are.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

CACHE_KIB = 128 * 1024
BUSY = timedelta(seconds=30)  # to wait for the attached database
FILE = 1 << 40  # a line's place: the file's number times this, and its own

Values = tuple[Any, ...]
Rows = Iterable[Values] | str  # or a query of the attached database


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of row: the columns by which it is known, and those that are told of it."""

    word: str
    table: str
    key: tuple[str, ...]
    told: tuple[str, ...]

    @property
    def columns(self) -> str:
        """All of them, for statements."""
        return ", ".join((*self.key, *self.told))


PACKAGES = Kind(
    word="packages",
    table="packages",
    key=("ecosystem", "name"),
    told=(
        "weekly_downloads",
        "dependents",
        "weekly_ge_1m",
        "dependents_ge_500",
        "rank",
        "dependents_rank",
        "high_impact",
    ),
)
MAINTAINERS = Kind(
    word="maintainers",
    table="ownerships",
    key=("ecosystem", "package", "account"),
    told=("role", "accepted_at"),
)
KINDS = (PACKAGES, MAINTAINERS)


@lru_cache(maxsize=1024)
def stored(moment: datetime | None) -> str | None:
    """A time as SQLite keeps it, which PostgreSQL reads too, and which sorts as text."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds") if moment else None


class Scratch:
    """The tables: `read_…` in order of the files, `told_…` by key, `known_…` the database, `guarded`, accounts."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None, timeout=BUSY.total_seconds())
        self.attached = False
        for pragma in (
            "page_size=16384",
            f"cache_size=-{CACHE_KIB}",
            "journal_mode=OFF",
            "synchronous=OFF",
            "temp_store=FILE",
            "threads=2",
        ):
            self._db.execute(f"PRAGMA {pragma}")
        for kind in KINDS:
            key = ", ".join(kind.key)
            self._db.execute(f"CREATE TABLE read_{kind.table} ({kind.columns}, place)")
            self._db.execute(
                f"CREATE TABLE told_{kind.table} ({kind.columns}, place, PRIMARY KEY ({key})) WITHOUT ROWID"
            )
            self._db.execute(
                f"CREATE TABLE known_{kind.table} ({kind.columns}, id, account_id, PRIMARY KEY ({key})) WITHOUT ROWID"
            )
        self._db.execute(f"CREATE TABLE guarded ({PACKAGES.columns}, PRIMARY KEY (ecosystem, name)) WITHOUT ROWID")
        self._db.execute("CREATE TABLE known_accounts (username PRIMARY KEY, id) WITHOUT ROWID")

    def close(self) -> None:
        """Forget everything."""
        self._db.close()

    def attach(self, path: str) -> None:
        """From now on the tables of SQLite's database are here too, under their own names."""
        self._db.execute("ATTACH DATABASE ? AS attached", (path,))
        self._db.execute("PRAGMA attached.synchronous=NORMAL")
        self._db.execute(f"PRAGMA attached.cache_size=-{CACHE_KIB // 2}")  # or pages would be written many times
        self.attached = True

    @contextmanager
    def turn(self, snapshot: int, now: datetime) -> Iterator[bool]:
        """A transaction that writes to the attached database; says whether the snapshot's lease stands."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            query = "SELECT 1 FROM impact_snapshots WHERE id = ? AND lease_until > ?"
            yield self._db.execute(query, (snapshot, stored(now))).fetchone() is not None
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def write_new(self, kind: Kind, snapshot: int, first: int, last: int) -> None:
        """In such a transaction: some of the new rows, by number."""
        columns = f"{kind.columns}{', account_id' if kind is MAINTAINERS else ''}"
        self._db.execute(
            f"INSERT INTO {kind.table} ({columns}, from_snapshot) SELECT {columns}, ? FROM new_{kind.table} "  # noqa: S608
            "WHERE rowid > ? AND rowid <= ?",
            (snapshot, first, last),
        )

    def write_placed(self, table: str, first: int, last: int) -> None:
        """In such a transaction: some of the pairs, by number."""
        pairs = "SELECT account_id, id FROM placed WHERE rowid > ? AND rowid <= ?"
        self._db.execute(f"INSERT OR IGNORE INTO {table} {pairs}", (first, last))

    def add(self, kind: Kind, rows: Iterable[Values]) -> None:
        """Put down rows of key, told columns and place, in any order."""
        self._into(f"read_{kind.table}", len(kind.key) + len(kind.told) + 1, rows)

    def know(self, kind: Kind, rows: Rows) -> None:
        """Put down what the database holds: key, told columns, id and account_id."""
        self._into(f"known_{kind.table}", len(kind.key) + len(kind.told) + 2, rows)

    def know_accounts(self, rows: Rows) -> None:
        """Put down names and ids of accounts."""
        self._into("known_accounts", 2, rows)

    def names(self) -> Iterator[str]:
        """The accounts that were told of."""
        query = "SELECT DISTINCT account FROM told_ownerships"
        return (name for (name,) in self._db.execute(query))

    def _into(self, table: str, width: int, rows: Rows) -> None:
        self._db.execute("BEGIN")
        if isinstance(rows, str):
            self._db.execute(f"INSERT INTO {table} {rows}")
        else:
            self._db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * width)})", rows)  # noqa: S608
        self._db.execute("COMMIT")

    def sort(self, kind: Kind) -> list[tuple[str, int, int]]:
        """Put the rows in order; of several with one key the first stays. Returns key, place, first place of others."""
        self._db.execute(
            f"INSERT OR IGNORE INTO told_{kind.table} SELECT {kind.columns}, place FROM read_{kind.table} "  # noqa: S608
            f"ORDER BY {', '.join(kind.key)}, place"
        )
        twice: list[tuple[str, int, int]] = []
        if self._count(f"read_{kind.table}") > self._count(f"told_{kind.table}"):
            query = (
                f"SELECT r.place, t.place, {', '.join(f'r.{name}' for name in kind.key)} FROM read_{kind.table} r "  # noqa: S608
                f"JOIN told_{kind.table} t USING ({', '.join(kind.key)}) WHERE r.place <> t.place ORDER BY r.place"
            )
            twice = [(" ".join(key), place, first) for place, first, *key in self._db.execute(query)]
        self._db.execute(f"DROP TABLE read_{kind.table}")
        return twice

    def _count(self, table: str) -> int:
        found: int = self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
        return found

    def told(self, kind: Kind) -> int:
        """How many rows were told."""
        return self._count(f"told_{kind.table}")

    def ecosystems(self, kind: Kind) -> list[str]:
        """Those that were told of."""
        query = f"SELECT DISTINCT ecosystem FROM told_{kind.table} ORDER BY ecosystem"  # noqa: S608
        return [ecosystem for (ecosystem,) in self._db.execute(query)]

    def keys(self, kind: Kind, ecosystem: str, column: str) -> Iterator[str]:
        """The values of one part of the key, in one ecosystem, each once."""
        query = f"SELECT DISTINCT {column} FROM told_{kind.table} WHERE ecosystem = ?"  # noqa: S608
        return (value for (value,) in self._db.execute(query, (ecosystem,)))

    def compare(self, kind: Kind, *, whole: bool) -> None:
        """Find out what is new, and what counts no more: because it changed or, of a whole snapshot, is missing."""
        told = [self._told(kind, name) for name in kind.told]
        same = " AND ".join(f"{value} IS k.{name}" for value, name in zip(told, kind.told, strict=True))
        account = "coalesce(k.account_id, a.id)" if kind is MAINTAINERS else "NULL"
        accounts = "LEFT JOIN known_accounts a ON a.username = t.account" if kind is MAINTAINERS else ""
        key = ", ".join(kind.key)
        self._db.execute(
            f"CREATE TABLE new_{kind.table} AS SELECT {', '.join(f't.{name}' for name in kind.key)}, "  # noqa: S608
            f"{', '.join(f'{value} AS {name}' for value, name in zip(told, kind.told, strict=True))}, "
            f"{account} AS account_id, k.id AS replaces, t.place / {FILE} AS file "
            f"FROM told_{kind.table} t LEFT JOIN known_{kind.table} k USING ({key}) {accounts} "
            f"WHERE k.id IS NULL OR NOT ({same})"
        )
        gone = (
            f"SELECT k.id FROM known_{kind.table} k LEFT JOIN told_{kind.table} t USING ({key}) WHERE t.place IS NULL"  # noqa: S608
        )
        self._db.execute(
            f"CREATE TABLE over_{kind.table} AS SELECT replaces AS id FROM new_{kind.table} "  # noqa: S608
            f"WHERE replaces IS NOT NULL {f'UNION ALL {gone}' if whole else ''}"
        )

    @staticmethod
    def _told(kind: Kind, name: str) -> str:
        """What is told of a column. Of acceptance the earliest ever heard of: a snapshot without dates moves none."""
        if kind is MAINTAINERS and name == "accepted_at":
            return (
                "CASE WHEN k.accepted_at IS NULL OR t.accepted_at < k.accepted_at THEN t.accepted_at "
                "ELSE k.accepted_at END"
            )
        return f"t.{name}"

    def counts(self, kind: Kind) -> tuple[Counter[int], Counter[int]]:
        """By file, how many rows are added and how many changed."""
        query = f"SELECT file, replaces IS NOT NULL, count(*) FROM new_{kind.table} GROUP BY 1, 2"  # noqa: S608
        added, changed = Counter[int](), Counter[int]()
        for file, known, count in self._db.execute(query):
            (changed if known else added)[file] = count
        return added, changed

    def guard(self, rows: Rows) -> None:
        """Put down the packages that something rests on: key and told columns, as the database holds them."""
        self._into("guarded", len(PACKAGES.key) + len(PACKAGES.told), rows)

    def guard_names(self, rows: Iterable[Values]) -> None:
        """The same of packages by their key alone; those that are known stay as they are."""
        self._db.executemany("INSERT OR IGNORE INTO guarded (ecosystem, name) VALUES (?, ?)", rows)

    def lost(self, kind: Kind, which: str | None, *, whole: bool) -> list[tuple[str, int, int]]:
        """By ecosystem, how many rows hold what is guarded now, and how many of them would not any more.

        `which` is a condition on `packages`: of packages those for which it holds, of maintainers those who accepted
        to maintain one of them. None: all who accepted. Of an ecosystem that was not told of nothing is lost.
        """
        guarded = f"(SELECT ecosystem, name FROM guarded AS packages WHERE {which})"  # noqa: S608 -- of our own making
        if kind is PACKAGES:
            query = (
                f"SELECT g.ecosystem, count(*), sum(CASE WHEN packages.place IS NULL THEN {int(whole)} "  # noqa: S608
                f"ELSE NOT coalesce({which}, 0) END) FROM {guarded} g LEFT JOIN told_packages AS packages "
                "ON packages.ecosystem = g.ecosystem AND packages.name = g.name "
                "WHERE g.ecosystem IN (SELECT DISTINCT ecosystem FROM told_packages) GROUP BY 1 ORDER BY 1"
            )
        else:
            of = "k.ecosystem = g.ecosystem AND k.package = g.name AND " if which else ""
            query = (
                f"SELECT k.ecosystem, count(*), sum(t.place IS NULL) "  # noqa: S608
                f"FROM {f'{guarded} g CROSS JOIN ' if which else ''}known_ownerships k "  # in this order: g is small
                "LEFT JOIN told_ownerships t ON t.ecosystem = k.ecosystem AND t.package = k.package "
                f"AND t.account = k.account WHERE {of}k.accepted_at IS NOT NULL GROUP BY 1 ORDER BY 1"
            )
        return self._db.execute(query).fetchall()

    def new(self, kind: Kind) -> Iterator[Values]:
        """Rows to store, by key: key, told columns and account_id."""
        return self._db.execute(f"SELECT {kind.columns}, account_id FROM new_{kind.table}")  # noqa: S608

    def over(self, kind: Kind) -> Iterator[int]:
        """Ids of rows that count no more."""
        return (id_ for (id_,) in self._db.execute(f"SELECT id FROM over_{kind.table} ORDER BY id"))  # noqa: S608

    def place(self, pairs: Rows) -> int:
        """Put down accounts and ids of their new rows, in order; returns how many."""
        self._db.execute("CREATE TABLE placed (account_id, id)")
        self._into("placed", 2, pairs)
        return self._count("placed")

    def count_new(self, kind: Kind) -> int:
        """How many rows are to be stored."""
        return self._count(f"new_{kind.table}")

    def work(self) -> int:
        """How many rows are to be written."""
        return sum(self._count(f"{part}_{kind.table}") for kind in KINDS for part in ("new", "over"))
