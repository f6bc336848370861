"""What opens a frozen account: all combinations of the facts, and what holds for each."""

from itertools import product

import pytest

from authsvc.core.assurance import AUTHENTICATORS, Factor
from authsvc.policy.freeze import (
    AskAuthenticator,
    AskMailbox,
    AskPassword,
    AskPeople,
    AskWait,
    Unfreeze,
    UnfreezeFacts,
    decide,
)

SETS = [frozenset[Factor](), *(frozenset({f}) for f in AUTHENTICATORS), frozenset({Factor.TOTP, Factor.PASSKEY})]
ALL = [
    UnfreezeFacts(
        older=older,
        proved=proved,
        mailbox=mailbox,
        password=password,
        senior_browser=browser,
        waited=waited,
        vetoed=vetoed,
        contested=contested,
    )
    for older, proved in product(SETS, SETS)
    if proved <= older
    for mailbox, password, browser, waited, vetoed, contested in product((False, True), repeat=6)
]


@pytest.mark.parametrize("facts", ALL)
def test_an_account_that_had_an_authenticator_opens_only_with_it(facts: UnfreezeFacts) -> None:
    opened = isinstance(decide(facts), Unfreeze)
    if facts.older:
        beside_mailbox = Factor.TOTP in facts.proved and facts.mailbox
        beside_password = bool(facts.proved) and facts.password
        assert opened is (Factor.PASSKEY in facts.proved or beside_mailbox or beside_password)
        assert opened <= bool(facts.proved), "neither a mailbox nor time replaces it"
    else:
        beside, waited = facts.password or facts.senior_browser, facts.waited and not facts.vetoed
        enough = (beside and waited) if facts.contested else (beside or waited)
        assert opened is (facts.mailbox and enough)


def test_each_answer_says_what_is_missing() -> None:
    keys = frozenset({Factor.PASSKEY, Factor.TOTP})
    assert decide(UnfreezeFacts(older=keys)) == AskAuthenticator(frozenset({Factor.PASSKEY}))
    assert decide(UnfreezeFacts(older=keys, mailbox=True)) == AskAuthenticator(keys)
    assert decide(UnfreezeFacts(older=frozenset({Factor.TOTP}))) == AskMailbox()
    assert decide(UnfreezeFacts()) == AskMailbox()
    key = frozenset({Factor.SECURITY_KEY})
    assert decide(UnfreezeFacts(older=key, proved=key, mailbox=True)) == AskPassword(or_wait=False)
    assert decide(UnfreezeFacts(mailbox=True)) == AskPassword(or_wait=True)
    assert decide(UnfreezeFacts(mailbox=True, waited=True, vetoed=True)) == AskPeople()
    assert decide(UnfreezeFacts(mailbox=True, contested=True, waited=True)) == AskPassword(or_wait=False)
    assert decide(UnfreezeFacts(mailbox=True, contested=True, password=True)) == AskWait()
    assert decide(UnfreezeFacts(mailbox=True, contested=True, password=True, vetoed=True)) == AskPeople()
