"""Account recovery: what a case has shown, what it still needs, how long it waits, and who may decide it (POLICY 10).

For people who lost every factor, or whose mail domain lapsed. `cases` gathers the facts and applies the decision.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum

from authsvc.policy.mandate import Impact

WAIT = timedelta(hours=72)  # of accounts without an authenticator and without packages
LONG_WAIT = timedelta(days=7)  # of all others
UNCONFIRMED_WAIT = timedelta(days=14)  # of those, while no older address or session confirms
SHARED_FOR = timedelta(days=90)  # co-owners vouch once they share a package for longer
LEAST_VOUCHES = 2
APPROVALS = 2  # by different people (POLICY 13)
SLOTS = 3  # cases about one account that everybody was told of
TELL_AGAIN_AFTER = timedelta(days=1)  # of as much evidence as they heard of already
LONE_WAIT = timedelta(hours=24)  # in place of the second, where one person alone could approve (POLICY 13)


class Proof(StrEnum):
    """What an applicant can show. Stored, so never reworded."""

    PASSWORD = "password"
    MAILBOX = "mailbox"  # a code mailed to a trusted, senior address of the account
    BROWSER = "browser"  # a senior one
    SESSION = "session"  # a live one that began 72 hours ago or earlier
    PUBLISHED = "published_proof"
    VOUCH = "vouch"  # of one co-owner


CONFIRMING = frozenset({Proof.MAILBOX, Proof.SESSION})
OWN = frozenset({Proof.PASSWORD, Proof.MAILBOX, Proof.BROWSER, Proof.SESSION})


class Strength(IntEnum):
    """How strong a case is, by the best kind of evidence it has shown."""

    NONE = 0
    OWN = 1  # two of password; mailbox; browser or session: together one kind
    INDEPENDENT = 2  # published proof, vouching, or two people of the service


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One proof that counts now. `ref`: of a vouch, whose."""

    proof: Proof
    at: datetime
    ref: int = 0
    confirms: bool = True  # of a mailbox: its domain was in the same hands, and is not the one of a published proof
    suspended: bool = False  # of a published proof: its place waits to be confirmed again (POLICY 6)


@dataclass(frozen=True, kw_only=True)
class Vote:
    """What one person of the service said."""

    by: int
    approve: bool
    at: datetime


@dataclass(frozen=True, kw_only=True)
class RecoveryFacts:
    """One case and the account it is about."""

    factor: bool = False  # it has an authenticator, or had a senior one thirty days ago
    owns_packages: bool = False
    frozen: bool = False
    shown: tuple[Shown, ...] = ()
    begun_at: datetime | None = None  # since when it has a slot; no wait begins before
    co_owners: int = 0  # senior ones of its highest-impact package; more than half of them vouch
    votes: tuple[Vote, ...] = ()
    lone_staff: int | None = None  # who it is, where one person of the service alone has a senior key
    objected_at: datetime | None = None  # the newest objection
    rival: Strength = Strength.NONE  # of the strongest other case

    @property
    def demanding(self) -> bool:
        """It takes an independent kind and the long wait."""
        return self.factor or self.owns_packages


@dataclass(frozen=True)
class Prove:
    """More has to be shown: any kind, or, `independent`, one that does not rest on what the owner knows and holds."""

    independent: bool


@dataclass(frozen=True)
class AskStaff:
    """Disputed: nothing goes on by itself, two people of the service decide."""

    approvals: int


@dataclass(frozen=True)
class Refused:
    """Somebody of the service refused it. The case is over; another may be opened."""


@dataclass(frozen=True)
class Wait:
    """Enough is shown. Until then whoever has a say may object."""

    until: datetime


@dataclass(frozen=True)
class Complete:
    """A new address, a new password, and everything older is void."""


Decision = Prove | AskStaff | Refused | Wait | Complete


def decide(facts: RecoveryFacts, now: datetime) -> Decision:
    """What a case leads to now. Rules run top to bottom; the first that applies decides. Raises nothing.

    An objection, a freeze or a rival that is as strong stops the automatic way, and ends nothing by itself. One refusal
    ends the case: refusing weakens nothing, and an owner who has more to show opens another.
    Source: POLICY 10; POLICY 5, "both sides hold older proofs".
    """
    if any(not vote.approve for vote in facts.votes):
        return Refused()
    approved, kinds = approved_at(facts), _independent(facts)
    if approved is not None:
        kinds.append(approved)
    own = own_at(facts.shown)
    if own is not None and not facts.demanding:
        kinds.append(own)
    if disputed(facts):
        if approved is None:
            return AskStaff(approvals(facts))
        kinds = [approved]  # what was disputed waits anew
    if not kinds:
        return Prove(independent=facts.demanding)
    until = _until(facts, max(min(kinds), facts.begun_at or min(kinds)))
    return Complete() if now >= until else Wait(until)


def strength(facts: RecoveryFacts) -> Strength:
    """The best kind that was shown."""
    if _independent(facts) or approved_at(facts) is not None:
        return Strength.INDEPENDENT
    return Strength.NONE if own_at(facts.shown) is None else Strength.OWN


def disputed(facts: RecoveryFacts) -> bool:
    """Somebody objected, the account is frozen, or another case is at least as strong. A weaker one changes nothing.

    Nor does a published proof go on by itself once its place was suspended: a new password since then may be the
    owner's, who is told apart from the applicant by people alone.
    """
    mine = strength(facts)
    if mine is Strength.NONE:
        return facts.objected_at is not None
    return (
        facts.objected_at is not None
        or facts.frozen
        or facts.rival >= mine
        or any(one.suspended for one in facts.shown)
    )


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A case that has a slot of the account."""

    id: int
    strength: Strength
    begun_at: datetime


@dataclass(frozen=True)
class Slot:
    """The case begins; where all slots were taken, in place of that one."""

    instead_of: int | None = None


def slot(mine: Strength, begun: Collection[Begun]) -> Slot | None:
    """Whether a case that shows so much begins beside these; None while it has to wait.

    A weaker one gives its slot up, the weakest first and of those the oldest. One that is as strong does not, or
    whoever opens many would push the others out. Source: POLICY 10, "a weaker case never excludes a stronger".
    """
    if len(begun) < SLOTS:
        return Slot()
    last = min(begun, key=lambda one: (one.strength, one.begun_at, one.id))
    return Slot(instead_of=last.id) if last.strength < mine else None


def rank(facts: RecoveryFacts, *, staff: bool) -> int:
    """How much a mail about the case has to tell: the evidence first, then that people of the service decide."""
    return 100 * strength(facts) + 2 * len({one.proof for one in facts.shown}) + staff


def may_tell(facts: RecoveryFacts, *, rank: int, told: int | None) -> bool:
    """Whether everybody is mailed now. `told`: the highest rank they heard of, about the account, since yesterday.

    Else somebody with two proofs who opens and withdraws cases fills every mailbox. Where people approved nothing is
    held back: what everybody hears then is when the account goes.
    """
    return bool(facts.votes) or told is None or rank > told


def own_at(shown: Iterable[Shown]) -> datetime | None:
    """When two of password; mailbox; browser or session had been shown, which together are one kind; or None."""
    first: dict[Proof, datetime] = {}
    for one in shown:
        if one.proof in OWN:
            thing = Proof.BROWSER if one.proof is Proof.SESSION else one.proof
            first[thing] = min(one.at, first.get(thing, one.at))
    return sorted(first.values())[1] if len(first) > 1 else None


def vouches_needed(co_owners: int) -> int:
    """More than half of them, and at least two."""
    return max(LEAST_VOUCHES, co_owners // 2 + 1)


def _independent(facts: RecoveryFacts) -> list[datetime]:
    """When each independent kind but staff's was shown."""
    vouches = sorted({one.ref: one.at for one in facts.shown if one.proof is Proof.VOUCH}.values())
    published = [one.at for one in facts.shown if one.proof is Proof.PUBLISHED]
    needed = vouches_needed(facts.co_owners)
    return [*([min(published)] if published else []), *vouches[needed - 1 : needed]]


def _approvals(facts: RecoveryFacts) -> dict[int, datetime]:
    """When each person approved; what somebody said before an objection does not count after it."""
    first: dict[int, datetime] = {}
    for vote in facts.votes:
        if facts.objected_at is None or vote.at > facts.objected_at:
            first[vote.by] = min(vote.at, first.get(vote.by, vote.at))
    return first


def approvals(facts: RecoveryFacts) -> int:
    """How many people of the service approved, as far as it still counts."""
    return len(_approvals(facts))


def approved_at(facts: RecoveryFacts) -> datetime | None:
    """When the second person of the service had approved, or a day has gone by after the only one there is, or None."""
    times = _approvals(facts)
    if len(times) >= APPROVALS:
        return sorted(times.values())[APPROVALS - 1]
    return times[facts.lone_staff] + LONE_WAIT if facts.lone_staff in times else None


def _until(facts: RecoveryFacts, begun: datetime) -> datetime:
    """An address or session that confirms later shortens the long wait, and leaves seven days from then."""
    if not facts.demanding:
        return begun + WAIT
    confirming = (one.at for one in facts.shown if one.proof in CONFIRMING and one.confirms)
    confirmed = min(confirming, default=None)
    longest = begun + UNCONFIRMED_WAIT
    return longest if confirmed is None else min(longest, max(begun, confirmed) + LONG_WAIT)


def reach(impact: Impact) -> tuple[bool, bool, bool, int, int, float]:
    """What to sort packages by: the one of the highest impact is the greatest."""
    downloads, dependents = impact.weekly_downloads or 0, impact.dependents or 0
    return impact.is_high, impact.many_downloads, impact.many_dependents, downloads, dependents, -impact.best_rank


class NoVote(StrEnum):
    """Why somebody of the service may not decide a case."""

    TARGET = "target"
    CO_OWNER = "co_owner"
    VOTED = "voted"
    UNSEEN = "unseen"  # an objection came after they looked


def may_vote(
    voter: int,
    *,
    target: int,
    co_owners: Collection[int],
    votes: Iterable[Vote],
    objected_at: datetime | None,
    unseen_objection: bool = False,
) -> NoVote | None:
    """Why this person may not vote, or None. Once each, and again after an objection. Source: POLICY 13.

    `unseen_objection`: one came after they read the case, and they would decide without it.
    """
    if voter == target:
        return NoVote.TARGET
    if voter in co_owners:
        return NoVote.CO_OWNER
    if any(vote.by == voter and (objected_at is None or vote.at > objected_at) for vote in votes):
        return NoVote.VOTED
    return NoVote.UNSEEN if unseen_objection else None
