"""What people and attackers do. Nobody here looks behind the door: they see answers, and time."""

import random
import string
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from simulation.defences import Defence, Visitor
from simulation.people import (
    NEW_BROWSER_SHARE,
    SHARED,
    VPN,
    WRONG_SHARE,
    Person,
    network,
    popular,
    shared_network,
)
from simulation.world import Actor, World

DAY = 86_400.0
PATIENCE = 900.0  # seconds after which somebody with the right password gives up
LATE, SHUT_OUT = 5.0, 60.0  # seconds from the right password to its acceptance
SLOW = 2.0  # seconds of answer time from which an attacker thinks the network was found out


@dataclass
class Tally:
    """What came of one run."""

    honest: int = 0
    challenged: int = 0
    late: int = 0
    shut_out: int = 0
    extras: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    tries: int = 0
    held_up: int = 0  # tries answered with "later", or slowly
    found: set[str] = field(default_factory=set)
    entered: set[str] = field(default_factory=set)


def sign_in(world: World, door: Defence, person: Person, rng: random.Random, tally: Tally) -> Actor:
    """An owner signs in: mistypes, tries again, waits as told, looks into the mailbox, gives up in the end."""
    known = person.browsers and rng.random() >= NEW_BROWSER_SHARE
    visitor = Visitor(network(rng, person), rng.choice(person.browsers) if known else "")
    tally.honest += 1
    first_right: float | None = None
    refused, extra = 0, ""
    while True:
        right = rng.random() >= WRONG_SHARE
        typed = person.password if right else person.password[:-1] + rng.choice(string.ascii_letters)
        if right and first_right is None:
            first_right = world.now
        answer = yield lambda: door.password(visitor, person.username, typed)  # noqa: B023 -- called at once
        if answer.kind == "right":
            break
        if first_right is not None and world.now - first_right > PATIENCE:
            tally.waits.append(world.now - first_right)
            _count(tally, world.now - first_right, "gave up", done=False)
            return
        if answer.kind == "later":
            yield answer.retry_after + 1
            continue
        refused += right
        if right and refused == 3 and (yield lambda: door.help_in_mailbox(visitor, person)):
            extra = "link from the mailbox"
        yield rng.uniform(5, 12) if refused <= 3 else 60.0
    waited = world.now - (world.now if first_right is None else first_right)
    tally.waits.append(waited)
    yield rng.uniform(10, 40)  # looks for the mail, or for the telephone
    second = yield lambda: door.second_step(visitor, person)
    for _ in range(3):
        if second.done:
            break
        yield 60.0
        second = yield lambda: door.second_step(visitor, person)
    if second.done and visitor.browser_token and not known:
        person.browsers.append(visitor.browser_token)
    _count(tally, waited, ", ".join(filter(None, (extra, second.extra))), done=second.done)


def _count(tally: Tally, waited: float, extra: str, *, done: bool) -> None:
    tally.challenged += bool(extra) and done
    tally.late += waited > LATE
    tally.shut_out += waited > SHUT_OUT or not done
    if extra or not done:
        tally.extras[extra or "second step not reached"] += 1


# Attackers


@dataclass(frozen=True)
class Try:
    """A password to be tried at an account, not before a time."""

    at: float
    name: str
    password: str


@dataclass
class Net:
    """One of the attacker's networks: an address, or a whole /48 of IPv6, used from another /64 each time."""

    address: str
    rests_until: float = 0.0
    backoff: float = 60.0

    def ip(self, rng: random.Random) -> str:
        """Where the next try comes from."""
        return self.address.replace("?", f"{rng.randrange(65536):x}")

    def rest(self, now: float, seconds: float) -> None:
        """Lie low, each time twice as long, up to an hour."""
        self.rests_until = now + max(seconds, self.backoff)
        self.backoff = min(2 * self.backoff, 3600.0)


def networks(count: int, people: int) -> list[Net]:
    """The attacker's networks: every second one a /48; of many, some are honest people's homes and exits of VPNs."""
    nets = []
    for number in range(count):
        if count > 1 and number % 10 == 9:
            shared = number // 10
            home = f"10.0.{shared * 7 % people // 250}.{shared * 7 % people % 250}"
            nets.append(Net(shared_network(VPN, shared) if shared < SHARED[VPN] // 2 else home))
        elif number % 2 == 0:
            nets.append(Net(f"2001:db8:{number:x}:?::1"))
        else:
            nets.append(Net(f"172.{16 + number // 62500}.{number // 250 % 250}.{number % 250}"))
    return nets


def attack(
    world: World,
    door: Defence,
    people: dict[str, Person],
    plan: list[Try],
    nets: list[Net],
    rng: random.Random,
    tally: Tally,
    *,
    until: float,
    guesses: int = 3,
    gap: float = 0.02,
) -> Actor:
    """Work through a plan, each try from the next network that is not lying low. Stops at `until`.

    A network that is told to come back later, or is answered slowly, lies low; its try goes to another one.
    """
    left, under_way, turn = deque(sorted(plan, key=lambda t: t.at)), [0], 0
    while (left or under_way[0]) and world.now < until:
        if not left:
            yield 30.0
            continue
        if left[0].at > world.now:
            yield left[0].at - world.now
        for _ in range(len(nets)):
            turn = (turn + 1) % len(nets)
            if nets[turn].rests_until <= world.now:
                break
        else:
            yield max(0.1, min(net.rests_until for net in nets) - world.now)  # never so little that time stands still
            continue
        under_way[0] += 1
        one = _one_try(world, door, people, left.popleft(), nets[turn], rng, tally, left.appendleft, under_way, guesses)
        world.start(one, world.now)
        yield gap


def _one_try(
    world: World,
    door: Defence,
    people: dict[str, Person],
    this: Try,
    net: Net,
    rng: random.Random,
    tally: Tally,
    again: Callable[[Try], None],
    under_way: list[int],
    guesses: int,
) -> Actor:
    visitor, begun = door.bot(net.ip(rng)), world.now
    answer = yield lambda: door.password(visitor, this.name, this.password)
    tally.tries += 1
    under_way[0] -= 1
    if answer.kind == "later":
        tally.held_up += 1
        net.rest(world.now, answer.retry_after)
        again(this)
        return
    if world.now - begun > SLOW:
        tally.held_up += 1
        net.rest(world.now, 0)
    elif net.rests_until <= begun:
        net.backoff = max(60.0, net.backoff / 2)
    if answer.kind == "right":
        tally.found.add(this.name)
        for _ in range(guesses):  # neither mailbox nor app is theirs, but trying costs nothing
            yield rng.uniform(1, 5)
            code = f"{rng.randrange(10**8):08}"
            if (yield lambda: door.guess_code(visitor, people[this.name], code)):  # noqa: B023 -- called at once
                tally.entered.add(this.name)


# Plans. Their makers have read our source: they spread each plan evenly over the day, which no window likes less.


def stuffing(
    rng: random.Random, people: list[Person], tries: int, *, working: float, seconds: float = DAY
) -> list[Try]:
    """Pairs from other sites' leaks: half the names are unknown here, `working` of all pairs open an account."""
    owners = rng.sample(people, min(len(people), tries // 2))
    pairs = []
    for owner in owners:
        works = rng.random() < working * tries / len(owners)
        pairs.append((owner.username, owner.password if works else f"leaked elsewhere {owner.id}"))
    pairs += [(f"stranger{n}", f"leaked elsewhere {n} too") for n in range(tries - len(owners))]
    rng.shuffle(pairs)
    return [Try(i * seconds / len(pairs), name, password) for i, (name, password) in enumerate(pairs)]


def guessing(rng: random.Random, people: list[Person], tries: int) -> list[Try]:
    """Popular passwords: four fifths go once around all accounts, the most popular first, which is what pays most.

    The rest go deep into the accounts that own the most: sixty guesses each.
    """
    everybody = rng.sample(people, len(people))
    wide = tries * 4 // 5
    plan = [
        Try(i * DAY / wide, everybody[i % len(everybody)].username, popular(1 + i // len(everybody)))
        for i in range(wide)
    ]
    depth = 60
    for owner in everybody[: (tries - wide) // depth]:
        late = rng.uniform(0, DAY / depth)
        plan += [Try(late + i * DAY / depth, owner.username, popular(2 + i)) for i in range(depth)]
    return plan


def spite(rng: random.Random, targets: list[Person], defence: str) -> list[Try]:
    """Wrong passwords at chosen accounts all day, to keep their owners out, as many as each door is best held by.

    The lock-out takes five a quarter of an hour. Ours: ten at once, then one whenever the delay is over.
    """
    burst, every = (5, 1) if defence == "lock-out" else (10, 1)
    plan = []
    for target in targets:
        late = rng.uniform(0, 60)
        plan += [Try(late + i, target.username, f"wrong {i}") for i in range(burst)]
        for quarter in range(1, 96):
            count = 5 if defence == "lock-out" else every
            plan += [Try(late + quarter * 902 + i, target.username, f"wrong {quarter} {i}") for i in range(count)]
    return plan
