"""Account recovery: what a case takes, how long it waits, what stops it, and who may decide it (POLICY 10)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest

from authsvc.policy.mandate import Impact
from authsvc.policy.recovery import (
    OWN,
    UNCONFIRMED_WAIT,
    AskStaff,
    Begun,
    Complete,
    NoVote,
    Proof,
    Prove,
    RecoveryFacts,
    Refused,
    Shown,
    Slot,
    Strength,
    Vote,
    Wait,
    approvals,
    decide,
    may_tell,
    may_vote,
    own_at,
    rank,
    reach,
    slot,
    strength,
    vouches_needed,
)

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


def proof(kind: Proof, after: timedelta = timedelta(0), ref: int = 0) -> Shown:
    """Shown so long after noon."""
    return Shown(proof=kind, at=NOON + after, ref=ref)


def vote(by: int, after: timedelta = timedelta(0), *, approve: bool = True) -> Vote:
    """Said so long after noon."""
    return Vote(by=by, approve=approve, at=NOON + after)


OWN_KIND = (proof(Proof.PASSWORD), proof(Proof.MAILBOX))
SILENT_KIND = (proof(Proof.PASSWORD), proof(Proof.BROWSER))  # no address or session confirms
PUBLISHED = (proof(Proof.PUBLISHED),)
VOUCHED = (proof(Proof.VOUCH, ref=1), proof(Proof.VOUCH, ref=2))
PLAIN = RecoveryFacts()
WITH_FACTOR = RecoveryFacts(factor=True)
MAINTAINER = RecoveryFacts(owns_packages=True, co_owners=2)


# What makes one kind


@pytest.mark.parametrize("kinds", [c for n in range(5) for c in combinations(sorted(OWN), n)])
def test_what_an_owner_knows_and_holds_is_a_kind_by_two_of_password_mailbox_and_browser_or_session(
    kinds: tuple[Proof, ...],
) -> None:
    things = {Proof.BROWSER if kind is Proof.SESSION else kind for kind in kinds}
    assert (own_at([proof(kind) for kind in kinds]) is not None) == (len(things) > 1)


def test_a_browser_and_its_session_are_one_thing() -> None:
    facts = replace(PLAIN, shown=(proof(Proof.BROWSER), proof(Proof.SESSION)))
    assert strength(facts) is Strength.NONE
    assert decide(facts, NOON) == Prove(independent=False)


def test_a_kind_is_as_old_as_its_second_proof() -> None:
    shown = [proof(Proof.PASSWORD), proof(Proof.SESSION, DAY), proof(Proof.BROWSER, 2 * DAY)]
    assert own_at(shown) == NOON + DAY


@pytest.mark.parametrize(("co_owners", "needed"), [(0, 2), (1, 2), (2, 2), (3, 2), (4, 3), (5, 3), (10, 6)])
def test_more_than_half_of_the_co_owners_vouch_and_at_least_two(co_owners: int, needed: int) -> None:
    assert vouches_needed(co_owners) == needed


def test_one_co_owner_who_vouches_twice_is_one_co_owner() -> None:
    facts = replace(MAINTAINER, shown=(proof(Proof.VOUCH, ref=1), proof(Proof.VOUCH, DAY, ref=1)))
    assert strength(facts) is Strength.NONE


def test_two_of_four_co_owners_are_not_enough() -> None:
    assert strength(replace(MAINTAINER, co_owners=4, shown=VOUCHED)) is Strength.NONE


# What it takes, and how long it waits


@pytest.mark.parametrize(
    ("facts", "wait"),
    [
        (replace(PLAIN, shown=OWN_KIND), timedelta(hours=72)),
        (replace(PLAIN, shown=SILENT_KIND), timedelta(hours=72)),
        (replace(PLAIN, shown=PUBLISHED), timedelta(hours=72)),
        (replace(PLAIN, votes=(vote(1), vote(2))), timedelta(hours=72)),
        (replace(WITH_FACTOR, shown=PUBLISHED), timedelta(days=14)),
        (replace(WITH_FACTOR, shown=PUBLISHED + OWN_KIND), timedelta(days=7)),
        (replace(WITH_FACTOR, shown=PUBLISHED + SILENT_KIND), timedelta(days=14)),
        (replace(WITH_FACTOR, shown=(*PUBLISHED, proof(Proof.SESSION))), timedelta(days=7)),
        (replace(WITH_FACTOR, shown=(*PUBLISHED, replace(proof(Proof.MAILBOX), confirms=False))), timedelta(days=14)),
        (replace(WITH_FACTOR, votes=(vote(1), vote(2))), timedelta(days=14)),
        (replace(MAINTAINER, shown=VOUCHED), timedelta(days=14)),
        (replace(MAINTAINER, shown=VOUCHED + OWN_KIND), timedelta(days=7)),
        (replace(MAINTAINER, shown=OWN_KIND, votes=(vote(1), vote(2))), timedelta(days=7)),
    ],
)
def test_a_case_waits_to_the_very_second(facts: RecoveryFacts, wait: timedelta) -> None:
    assert decide(facts, NOON + wait - SECOND) == Wait(NOON + wait)
    assert decide(facts, NOON + wait) == Complete()


@pytest.mark.parametrize("facts", [WITH_FACTOR, MAINTAINER])
def test_what_the_owner_knows_and_holds_never_recovers_an_account_with_a_factor_or_packages(
    facts: RecoveryFacts,
) -> None:
    assert decide(replace(facts, shown=OWN_KIND), NOON + 365 * DAY) == Prove(independent=True)


def test_the_wait_counts_from_the_second_approval() -> None:
    facts = replace(PLAIN, votes=(vote(1), vote(2, DAY)))
    assert decide(facts, NOON + DAY) == Wait(NOON + DAY + timedelta(hours=72))


def test_an_address_that_confirms_later_leaves_seven_days_from_then() -> None:
    late = replace(WITH_FACTOR, shown=(*PUBLISHED, proof(Proof.MAILBOX, 2 * DAY)))
    assert decide(late, NOON + 2 * DAY) == Wait(NOON + 9 * DAY)
    too_late = replace(WITH_FACTOR, shown=(*PUBLISHED, proof(Proof.MAILBOX, 8 * DAY)))
    assert decide(too_late, NOON + 8 * DAY) == Wait(NOON + 14 * DAY)


def test_no_wait_begins_before_the_case_has_a_slot() -> None:
    late = replace(PLAIN, shown=OWN_KIND, begun_at=NOON + DAY)
    assert decide(late, NOON + 2 * DAY) == Wait(NOON + 4 * DAY)
    early = replace(PLAIN, votes=(vote(1, DAY), vote(2, DAY)), begun_at=NOON)
    assert decide(early, NOON + 2 * DAY) == Wait(NOON + 4 * DAY)


# Who has a slot, and who hears


def begun(*strengths: Strength) -> list[Begun]:
    """Cases that have begun, oldest first."""
    return [Begun(id=n, strength=s, begun_at=NOON + n * SECOND) for n, s in enumerate(strengths, 1)]


NONE, WEAK, STRONG = Strength.NONE, Strength.OWN, Strength.INDEPENDENT


@pytest.mark.parametrize(
    ("mine", "others", "expected"),
    [
        (WEAK, [], Slot()),
        (WEAK, [WEAK, STRONG], Slot()),
        (WEAK, [WEAK, WEAK, WEAK], None),
        (STRONG, [STRONG, STRONG, STRONG], None),
        (WEAK, [STRONG, STRONG, STRONG], None),
        (STRONG, [STRONG, WEAK, WEAK], Slot(instead_of=2)),  # the oldest of the weakest
        (STRONG, [WEAK, NONE, WEAK], Slot(instead_of=2)),
        (WEAK, [WEAK, WEAK, NONE], Slot(instead_of=3)),  # what was shown there does not count any more
        (WEAK, [WEAK, WEAK, WEAK, WEAK], None),
    ],
)
def test_a_slot_is_free_or_taken_from_a_weaker_case(
    mine: Strength, others: list[Strength], expected: Slot | None
) -> None:
    assert slot(mine, begun(*others)) == expected


def test_a_mail_ranks_by_evidence_first_and_by_who_decides_last() -> None:
    cases = [
        replace(PLAIN, shown=OWN_KIND),
        replace(PLAIN, shown=(*OWN_KIND, proof(Proof.BROWSER))),
        replace(PLAIN, shown=PUBLISHED),
    ]
    ranks = [rank(facts, staff=staff) for facts in cases for staff in (False, True)]
    assert ranks == sorted(set(ranks))


@pytest.mark.parametrize(("told", "expected"), [(None, True), (101, True), (102, False), (103, False)])
def test_everybody_hears_again_of_more_and_not_of_as_much(told: int | None, expected: bool) -> None:
    assert may_tell(PLAIN, rank=102, told=told) is expected
    assert may_tell(replace(PLAIN, votes=(vote(1),)), rank=102, told=told)


# What stops it


ENOUGH = replace(MAINTAINER, shown=VOUCHED + OWN_KIND)


@pytest.mark.parametrize(
    "change", [{"objected_at": NOON + DAY}, {"frozen": True}, {"rival": Strength.INDEPENDENT}], ids=str
)
def test_a_disputed_case_goes_to_people_however_long_it_waits(change: dict[str, object]) -> None:
    facts = replace(ENOUGH, **change)  # type: ignore[arg-type]
    assert decide(facts, NOON + 365 * DAY) == AskStaff(0)


def test_a_published_proof_whose_place_was_suspended_goes_to_people_and_past_them() -> None:
    facts = replace(MAINTAINER, shown=(replace(proof(Proof.PUBLISHED), suspended=True),))
    assert decide(facts, NOON + 365 * DAY) == AskStaff(0)
    approved = replace(facts, votes=(vote(1, DAY), vote(2, DAY)))
    assert decide(approved, NOON + 2 * DAY) == Wait(NOON + DAY + UNCONFIRMED_WAIT)


def test_a_weaker_case_never_stops_a_stronger_one() -> None:
    assert decide(replace(ENOUGH, rival=Strength.OWN), NOON) == Wait(NOON + 7 * DAY)


def test_a_stronger_case_stops_a_weaker_one() -> None:
    facts = replace(PLAIN, shown=OWN_KIND, rival=Strength.INDEPENDENT)
    assert decide(facts, NOON + 365 * DAY) == AskStaff(0)


def test_cases_of_one_strength_stop_each_other() -> None:
    assert decide(replace(PLAIN, shown=OWN_KIND, rival=Strength.OWN), NOON) == AskStaff(0)


def test_a_case_that_shows_nothing_is_not_disputed_by_others() -> None:
    facts = replace(PLAIN, frozen=True, rival=Strength.INDEPENDENT)
    assert decide(facts, NOON) == Prove(independent=False)


def test_two_people_end_a_dispute_and_the_wait_begins_anew() -> None:
    facts = replace(ENOUGH, objected_at=NOON + DAY, votes=(vote(1, 2 * DAY), vote(2, 3 * DAY)))
    assert decide(facts, NOON + 10 * DAY - SECOND) == Wait(NOON + 10 * DAY)
    assert decide(facts, NOON + 10 * DAY) == Complete()


@pytest.mark.parametrize("votes", [(vote(1, 2 * DAY),), (vote(1, 2 * DAY), vote(1, 3 * DAY))], ids=["once", "twice"])
def test_one_person_does_not_end_a_dispute(votes: tuple[Vote, ...]) -> None:
    assert decide(replace(ENOUGH, objected_at=NOON + DAY, votes=votes), NOON + 30 * DAY) == AskStaff(1)


def test_where_one_person_alone_could_approve_a_day_takes_the_place_of_the_second() -> None:
    facts = replace(WITH_FACTOR, votes=(vote(7),), lone_staff=7)
    until = NOON + timedelta(hours=24) + UNCONFIRMED_WAIT
    assert decide(facts, NOON) == decide(facts, until - SECOND) == Wait(until)
    assert decide(facts, until) == Complete()


def test_somebody_elses_approval_does_not_wait_for_the_day_of_the_lone_person() -> None:
    assert decide(replace(WITH_FACTOR, votes=(vote(8),), lone_staff=7), NOON + 90 * DAY) == Prove(independent=True)
    both = replace(WITH_FACTOR, votes=(vote(8), vote(7, SECOND)), lone_staff=7)
    assert decide(both, NOON) == Wait(NOON + SECOND + UNCONFIRMED_WAIT)


def test_an_objection_voids_the_approval_of_a_lone_person_too() -> None:
    facts = replace(WITH_FACTOR, votes=(vote(7),), lone_staff=7, objected_at=NOON + timedelta(hours=23))
    assert decide(facts, NOON + 90 * DAY) == AskStaff(0)


def test_approvals_from_before_an_objection_do_not_count_after_it() -> None:
    facts = replace(ENOUGH, objected_at=NOON + DAY, votes=(vote(1), vote(2)))
    assert approvals(facts) == 0
    assert decide(facts, NOON + 30 * DAY) == AskStaff(0)
    assert approvals(replace(facts, votes=(*facts.votes, vote(1, DAY)))) == 0  # at the same second
    assert approvals(replace(facts, votes=(*facts.votes, vote(1, DAY + SECOND)))) == 1


@pytest.mark.parametrize("others", [(), (vote(1), vote(2))])
def test_one_refusal_ends_a_case_whatever_others_say(others: tuple[Vote, ...]) -> None:
    assert decide(replace(ENOUGH, votes=(*others, vote(3, approve=False))), NOON + 30 * DAY) == Refused()


# Who may decide


@pytest.mark.parametrize(
    ("voter", "objected_at", "expected"),
    [
        (1, None, NoVote.TARGET),
        (2, None, NoVote.CO_OWNER),
        (3, None, NoVote.VOTED),
        (4, None, None),
        (3, NOON - SECOND, NoVote.VOTED),
        (3, NOON, None),
        (1, NOON, NoVote.TARGET),
    ],
)
def test_who_may_vote(voter: int, objected_at: datetime | None, expected: NoVote | None) -> None:
    assert may_vote(voter, target=1, co_owners={2}, votes=[vote(3)], objected_at=objected_at) == expected


def test_whoever_did_not_read_the_newest_objection_does_not_vote() -> None:
    assert may_vote(4, target=1, co_owners={2}, votes=(), objected_at=NOON, unseen_objection=True) is NoVote.UNSEEN
    assert may_vote(1, target=1, co_owners={2}, votes=(), objected_at=NOON, unseen_objection=True) is NoVote.TARGET


def test_the_package_of_the_highest_impact_is_the_one_most_depend_on() -> None:
    much = Impact(weekly_downloads=2_000_000)
    more = Impact(weekly_downloads=3_000_000)
    known_by_rank = Impact(weekly_ge_1m=True, rank=7)
    assert sorted([more, Impact(), much, Impact(rank=1), known_by_rank], key=reach) == [
        Impact(),
        Impact(rank=1),
        known_by_rank,
        much,
        more,
    ]
