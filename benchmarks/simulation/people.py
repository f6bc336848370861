"""Who lives here: accounts with passwords of published popularity, their browsers and their networks.

Popularity follows Zipf's law in the form of Wang, Cheng, Wang, Huang, Jian, "Zipf's Law in Passwords" (IEEE TIFS 12:11,
2017): the `r` most popular passwords together are chosen by `C · r^s` of the people, with C = 0.005858 and s = 0.281557
for 000webhost, the set there whose site asked most of a password: 0.6 % have the first, 1.1 % one of ten, 2.1 % of a
hundred, 4.1 % of a thousand. That is pessimistic: authsvc refuses passwords this popular when they are chosen, so only
imported accounts could have them.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pyotp
from sqlalchemy import Connection, insert

from authsvc.accounts.models import Account, Address, Authenticator
from authsvc.core import crypto
from authsvc.devices import Browser
from authsvc.passwords.models import Password
from authsvc.totp.models import TotpCredential
from simulation.world import START

ZIPF_C, ZIPF_S = 0.005858, 0.281557
POPULAR = 10_000_000  # ranks beyond are unique to their owner

TOTP_SHARE = 0.2
NEW_BROWSER_SHARE = 0.15  # sign-ins from a browser the account does not know: a new one, or cookies cleared
WRONG_SHARE = 0.09  # of entries: Chatterjee et al., "pASSWORD tYPOS" (IEEE S&P 2016), almost 10 % fail
AGE = timedelta(days=400)

# Networks: share of sign-ins, and how many addresses all people of that kind share.
HOME, CARRIER, OFFICE, VPN = "home", "carrier", "office", "vpn"
NETWORKS = {HOME: 0.55, CARRIER: 0.25, OFFICE: 0.10, VPN: 0.10}
SHARED = {CARRIER: 40, OFFICE: 20, VPN: 10}


def popular(rank: int) -> str:
    """The password of this rank, 1 being the most popular."""
    return f"popular password number {rank}"


def rank_of(share: float) -> int | None:
    """The rank of the password of somebody at this place between 0 and 1 of all people; None: one of their own."""
    if share < ZIPF_C:
        return 1
    rank = int((share / ZIPF_C) ** (1 / ZIPF_S)) + 1
    return rank if rank <= POPULAR else None


@dataclass
class Person:
    """An account, what its owner knows, and the browsers that the account knows by their cookies."""

    id: int
    username: str
    password: str
    seed: str
    browsers: list[str] = field(default_factory=list)

    @property
    def email(self) -> str:
        """Where codes go."""
        return f"{self.username}@example.test"


def make_people(rng: random.Random, count: int) -> list[Person]:
    """So many people; the same each time for the same generator."""
    people = []
    for number in range(1, count + 1):
        rank = rank_of(rng.random())
        password = popular(rank) if rank else f"{number} has a password of their own"
        seed = pyotp.random_base32() if rng.random() < TOTP_SHARE else ""
        browsers = [f"{'browser':-<40}{number}-{n}" for n in range(rng.choice((1, 1, 2)))]
        people.append(Person(number, f"person{number}", password, seed, browsers))
    return people


def network(rng: random.Random, person: Person) -> str:
    """Where this person is right now: people move between home, the telephone's network, the office and a VPN."""
    kind = rng.choices(list(NETWORKS), list(NETWORKS.values()))[0]
    if kind == HOME:
        return f"10.0.{person.id // 250}.{person.id % 250}"
    if kind == CARRIER:  # another exit each time
        return shared_network(CARRIER, rng.randrange(SHARED[CARRIER]))
    return shared_network(kind, person.id % SHARED[kind])


def shared_network(kind: str, number: int) -> str:
    """One of the addresses that many people share."""
    return f"10.{10 + list(SHARED).index(kind)}.0.{number}"


def insert_people(connection: Connection, people: list[Person], hashed: Callable[[str], str]) -> None:
    """Write the accounts with all they have, old enough to be senior. Needs an app context."""
    made = START - AGE
    connection.execute(
        insert(Account),
        [
            {
                "id": p.id,
                "sub": f"sub-{p.id}",
                "username": p.username,
                "epoch": 0,
                "created_at": made,
                "is_staff": False,
                "last_sign_in_at": START - timedelta(days=5),
            }
            for p in people
        ],
    )
    connection.execute(
        insert(Address),
        [
            {
                "account_id": p.id,
                "email": p.email,
                "domain": "example.test",
                "is_primary": True,
                "created_at": made,
                "verified_at": made,
                "verdict": "healthy",
            }
            for p in people
        ],
    )
    connection.execute(
        insert(Password),
        [
            # Looked up among leaked ones already: the breach list would spoil every list of the attackers at once.
            {"account_id": p.id, "hash": hashed(p.password), "changed_at": made, "breach_checked_at": made}
            for p in people
        ],
    )
    with_totp = [p for p in people if p.seed]
    connection.execute(
        insert(Authenticator),
        [
            {"id": p.id, "account_id": p.id, "kind": "totp", "label": "App", "created_at": made, "senior_at": made}
            for p in with_totp
        ],
    )
    connection.execute(
        insert(TotpCredential),
        [
            {
                "authenticator_id": p.id,
                "account_id": p.id,
                "sealed_seed": crypto.seal(p.seed.encode(), f"totp:{p.id}"),
                "last_step": 0,
            }
            for p in with_totp
        ],
    )
    connection.execute(
        insert(Browser),
        [
            {
                "digest": crypto.digest(token),
                "account_id": p.id,
                "epoch": 0,
                "first_seen_at": made,
                "last_seen_at": START - timedelta(days=5),
                "ip": "10.0.0.1",
                "browser": "Firefox on Linux",
            }
            for p in people
            for token in p.browsers
        ],
    )
