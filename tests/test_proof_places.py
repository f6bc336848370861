"""Places where only the owner can publish: how they are linked, what they count for, and what a recovery asks them."""

import re
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from authsvc import accounts, holds, proof_places
from authsvc.adapters import Adapters, HttpAnswer, HttpClient
from authsvc.adapters.dns import DnsClient
from authsvc.core import db
from authsvc.core.config import SettingError, Settings
from authsvc.core.evidence import DnsFault
from authsvc.policy.hold import HoldCause
from authsvc.proof_places import Reason, Refused, Standing, Verified
from tests import servers
from tests.conftest import Clock
from tests.people import Outbox, Person, Visitor
from tests.slices import OneRegistry, at_once, request_to

LINE = re.compile(r"authsvc-proof=[\w-]{43}")
TXT = "_authsvc-proof.corp.org"
FORGE_ID = "40817"
DAYS = timedelta(days=1)
SECOND = timedelta(seconds=1)


def registered(at: str = "2014-03-02T00:00:00Z", *statuses: str) -> dict[str, Any]:
    """The registry's answer about a domain registered then."""
    event = {"eventAction": "registration", "eventDate": at}
    body = {"objectClassName": "domain", "handle": "D1", "status": list(statuses), "events": [event]}
    return {"http": 200, "body": body}


class World:
    """What DNS, the registry, a page and a forge say; all of corp.org and forge.net is on loopback."""

    def __init__(self, app: Flask, dns: servers.Dns, web: servers.Web) -> None:
        self.app, self.dns, self.web = app, dns, web
        self.page = f"http://corp.org:{web.url.rpartition(':')[2]}/about"
        self.use(dns=DnsClient(dns.setting), rdap=OneRegistry(HttpClient(), web.url))
        self.zone()
        self.registry()

    def use(self, **parts: Any) -> None:
        """Other adapters from now on."""
        found: Adapters = self.app.extensions["authsvc.adapters"]
        self.app.extensions["authsvc.adapters"] = replace(found, **parts)

    def zone(self, *more: list[str], behaviour: tuple[dict[str, Any], ...] = ()) -> None:
        """DNS: mail works at both domains, and these records as well."""
        records = [
            [owner, kind, value]
            for owner in ("corp.org", "forge.net")
            for kind, value in (("NS", "ns1.host.net."), ("MX", "10 mx.mail.net."))
        ]
        hosts = [["mx.mail.net", "A", "203.0.113.1"], ["ns1.host.net", "A", "203.0.113.53"]]
        self.dns.zone = servers.Zone([*records, *hosts, *more], behaviour)

    def registry(self, answer: dict[str, Any] | None = None) -> None:
        """What it says of corp.org; of forge.net it always knows the same."""
        self.web.add_rdap({"corp.org": answer or registered(), "forge.net": registered()})

    def publish(self, line: str, path: str = "/about", **more: Any) -> None:
        """Put a line on the page."""
        self.web.answers[path] = {"http": 200, "raw": f"<p>Hello</p>\n<!-- {line} -->\n", **more}

    def publish_txt(self, line: str) -> None:
        """Put a line into DNS."""
        self.zone([TXT, "TXT", f'"{line}"'])


@pytest.fixture
def settings(settings: Settings, web_server: servers.Web) -> Settings:
    """Loopback may be reached, and forge.net shows a file of each repository by its id."""
    port = web_server.url.rpartition(":")[2]
    forge = f"forge.net=http://forge.net:{port}/raw/{{id}}/proof.txt"
    return replace(settings, allow_loopback_targets=True, proof_forges=forge)


@pytest.fixture
def world(app: Flask, dns_server: servers.Dns, web_server: servers.Web, monkeypatch: pytest.MonkeyPatch) -> World:
    """Names lead to loopback, as a resolver of the machine would say."""
    look_up = socket.getaddrinfo

    def here(host: Any, *args: Any, **kwargs: Any) -> Any:
        return look_up("127.0.0.1" if host in {"corp.org", "forge.net"} else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", here)
    return World(app, dns_server, web_server)


@pytest.fixture
def alice(make_account: Callable[..., Person]) -> Person:
    """She has a key, and her address is elsewhere."""
    return make_account("alice", key=True)


def confirm(client: Visitor, person: Person, page: str | None) -> str:
    """Prove a step-up with the key; gives where it leads."""
    assert person.key
    assert page
    assert page.startswith("/step-up/")
    answer = client.use_key(person.key, f"{page}/key", page, user_verified=True, way="key")
    assert answer.status_code == 303, answer.text
    return answer.location


def shown_line(client: Visitor, page: str) -> str:
    """The line that the page asks to publish."""
    found = LINE.search(client.get(page).text)
    assert found
    return found[0]


def name_it(client: Visitor, kind: str, place: str) -> str:
    """Name a place; gives the page that asks for the line."""
    answer = client.post("/account/proof-places/add", kind=kind, place=place)
    assert answer.status_code == 303, answer.text
    return answer.location


def linked(world: World, person: Person, *, now: datetime, kind: str = "web", place: str = "") -> int:
    """A place that the person linked then, through the slice's verbs."""
    with request_to(world.app):
        location = proof_places.parse(kind, place or world.page)
        place_id = proof_places.name(person.id, location, now=now)
        assert place_id is not None
        unproved = proof_places.unproved(person.id, place_id)
        assert unproved is not None
        line = proof_places.line(unproved.token)
        if kind == "dns":
            world.publish_txt(line)
        else:
            world.publish(line, "/about" if kind == "web" else f"/raw/{place}/proof.txt")
        assert proof_places.check(person.id, place_id, now=now) is None
        assert proof_places.link(person.id, place_id, now=now) is not None
    return place_id


def asked(world: World, person: Person, place_id: int, token: str, *, now: datetime) -> Reason | None:
    """What a recovery hears; None when the place proves it."""
    with request_to(world.app):
        found = proof_places.verify(place_id, token, account_id=person.id, now=now)
    match found:
        case Verified(place):
            assert place.id == place_id
            return None
        case Refused(reason):
            return reason


def standings(app: Flask, person: Person, *, now: datetime) -> list[Standing]:
    with request_to(app):
        return [place.standing for place in proof_places.places(person.id, now=now)]


# --- linking


def test_a_page_is_linked_by_a_published_line_and_a_step_up_and_the_owner_hears(
    world: World, client: Visitor, alice: Person, outbox: Outbox
) -> None:
    # Given Alice, who is signed in and names her page
    client.sign_in(alice)
    page = name_it(client, "web", world.page)
    # When she publishes the line and proves that it is she
    world.publish(shown_line(client, page))
    step_up = client.post(page).location
    assert f"Link the proof place: the page {world.page}" in client.get(step_up).text
    assert confirm(client, alice, step_up) == "/account#proof-places"
    # Then it is listed, in the log, and mailed without a link that somebody else chose
    text = client.get("/account").text
    assert world.page in text
    assert "It counts from" in text
    assert "Proof place linked" in text
    newest = outbox.to(alice.email)[-1]
    assert newest["Subject"] == "Proof places changed for alice"
    assert "a page at corp.org" in newest.get_content()
    assert world.page not in newest.get_content()


def test_dns_is_linked_by_a_txt_record_below_the_domain(world: World, client: Visitor, alice: Person) -> None:
    client.sign_in(alice)
    page = name_it(client, "dns", "Corp.ORG.")
    assert TXT in client.get(page).text
    world.publish_txt(shown_line(client, page))
    confirm(client, alice, client.post(page).location)
    assert "DNS of corp.org" in client.get("/account").text


def test_a_repository_is_linked_by_its_id(world: World, client: Visitor, alice: Person) -> None:
    client.sign_in(alice)
    page = name_it(client, "forge.net", FORGE_ID)
    world.publish(shown_line(client, page), f"/raw/{FORGE_ID}/proof.txt")
    confirm(client, alice, client.post(page).location)
    assert f"repository {FORGE_ID} at forge.net" in client.get("/account").text


def test_without_the_line_nothing_is_linked(world: World, client: Visitor, alice: Person) -> None:
    client.sign_in(alice)
    page = name_it(client, "web", world.page)
    world.publish("authsvc-proof=somebody-elses")
    answer = client.post(page)
    assert answer.status_code == 422
    assert "The line is not there yet" in answer.text
    assert world.page not in client.get("/account").text


def test_before_the_step_up_a_place_is_no_place(world: World, client: Visitor, alice: Person, clock: Clock) -> None:
    client.sign_in(alice)
    page = name_it(client, "web", world.page)
    world.publish(shown_line(client, page))
    assert client.post(page).status_code == 303
    assert standings(world.app, alice, now=clock.now) == []


@pytest.mark.parametrize(("later", "links"), [(timedelta(minutes=10) - SECOND, True), (timedelta(minutes=10), False)])
def test_a_line_that_was_seen_counts_for_ten_minutes(
    world: World, alice: Person, clock: Clock, later: timedelta, links: bool
) -> None:
    with request_to(world.app):
        place_id = proof_places.name(alice.id, proof_places.parse("web", world.page), now=clock.now)
        assert place_id
        unproved = proof_places.unproved(alice.id, place_id)
        assert unproved
        world.publish(proof_places.line(unproved.token))
        assert proof_places.check(alice.id, place_id, now=clock.now) is None
        found = proof_places.link(alice.id, place_id, now=clock.now + later)
        assert (found is not None) is links


def test_a_place_named_but_never_checked_cannot_be_linked(world: World, alice: Person, clock: Clock) -> None:
    with request_to(world.app):
        place_id = proof_places.name(alice.id, proof_places.parse("web", world.page), now=clock.now)
        assert place_id
        assert proof_places.link(alice.id, place_id, now=clock.now) is None


def test_of_two_links_at_once_one_is_carried_out(world: World, alice: Person, clock: Clock) -> None:
    with request_to(world.app):
        place_id = proof_places.name(alice.id, proof_places.parse("web", world.page), now=clock.now)
        assert place_id
        unproved = proof_places.unproved(alice.id, place_id)
        assert unproved
        world.publish(proof_places.line(unproved.token))
        assert proof_places.check(alice.id, place_id, now=clock.now) is None
    results = at_once(world.app, *2 * [lambda: proof_places.link(alice.id, place_id, now=clock.now) is not None])
    assert sorted(results) == [False, True]


def test_one_published_line_links_once_however_many_step_ups_were_asked_for(
    world: World, client: Visitor, alice: Person
) -> None:
    client.sign_in(alice)
    page = name_it(client, "web", world.page)
    world.publish(shown_line(client, page))
    first, second = client.post(page).location, client.post(page).location
    confirm(client, alice, first)
    assert alice.key
    again = client.use_key(alice.key, f"{second}/key", second, user_verified=True, way="key")
    assert again.status_code == 410
    assert client.post(page).status_code == 404  # nothing is waited for any more


def test_a_place_that_is_named_belongs_to_its_account(
    world: World, client: Visitor, alice: Person, make_account: Callable[..., Person], new_client: Callable[[], Visitor]
) -> None:
    client.sign_in(alice)
    page, stranger = name_it(client, "web", world.page), new_client()
    stranger.sign_in(make_account("mallory", key=True))
    for path in (page, f"{page}/renew", f"{page}/unlink"):
        assert stranger.post(path).status_code == 404
    assert stranger.get(page).status_code == 404


def test_a_place_is_linked_once_and_an_account_has_ten(
    world: World, client: Visitor, alice: Person, clock: Clock
) -> None:
    linked(world, alice, now=clock.now)
    client.sign_in(alice)
    again = client.post("/account/proof-places/add", kind="web", place=world.page)
    assert "linked to your account already" in again.text
    for number in range(proof_places.MAX_PLACES - 1):
        linked(world, alice, now=clock.now, kind="forge.net", place=str(number + 1))
    more = client.post("/account/proof-places/add", kind="dns", place="corp.org")
    assert more.status_code == 422
    assert "at most 10 places" in more.text


def test_in_a_hold_nothing_is_linked_and_nothing_unlinked(
    world: World, client: Visitor, alice: Person, clock: Clock
) -> None:
    place_id = linked(world, alice, now=clock.now)
    client.sign_in(alice)
    with request_to(world.app):
        holds.begin(alice.id, HoldCause.ADDRESS_CHANGE, client=None, now=clock.now)
    assert client.post("/account/proof-places/add", kind="dns", place="corp.org").status_code == 403
    assert client.post(f"/account/proof-places/{place_id}/unlink").status_code == 403


def test_unlinking_takes_a_step_up_and_is_mailed(
    world: World, client: Visitor, alice: Person, outbox: Outbox, clock: Clock
) -> None:
    place_id = linked(world, alice, now=clock.now - 40 * DAYS)
    client.sign_in(alice)
    step_up = client.post(f"/account/proof-places/{place_id}/unlink").location
    assert standings(world.app, alice, now=clock.now) == [Standing.READY]
    confirm(client, alice, step_up)
    assert standings(world.app, alice, now=clock.now) == []
    assert "was unlinked from your account alice" in outbox.to(alice.email)[-1].get_content()
    assert client.post(f"/account/proof-places/{place_id}/unlink").status_code == 404


@pytest.mark.parametrize(
    ("kind", "place", "says"),
    [
        ("web", "ftp://corp.org/", "https://"),
        ("web", "https://corp.org/search?q=authsvc-proof", "without ?"),
        ("web", "https://corp.org/#line", "without ?"),
        ("web", "https://me:secret@corp.org/", "without ?"),
        ("web", "https://[::1/", "Type an address"),
        ("web", "https://127.0.0.1/", "Type an address"),
        ("web", "https://co.uk/", "Type an address"),
        ("web", "https://forge.net/alice/tools/raw/proof.txt", "names there can change hands"),
        ("web", "https://corp.org/" + "a" * 500, "longer than 500"),
        ("dns", "co.uk", "Type a domain"),
        ("dns", "alice@corp.org", "Type a domain"),
        ("dns", ".".join(["a" * 60] * 4) + ".org", "Type a domain"),
        ("forge.net", "alice/tools", "not its name"),
        ("forge.net", "40817/../../1", "not its name"),
        ("gopher", "corp.org", "Choose one"),
    ],
)
def test_what_is_no_place_is_refused_with_what_to_type_instead(
    world: World, client: Visitor, alice: Person, kind: str, place: str, says: str
) -> None:
    client.sign_in(alice)
    answer = client.post("/account/proof-places/add", kind=kind, place=place)
    assert answer.status_code == 422
    assert says in answer.text


def test_elsewhere_than_in_development_a_page_is_https_without_a_port(
    world: World, client: Visitor, alice: Person
) -> None:
    client.sign_in(alice)
    strict = replace(world.app.extensions["authsvc.settings"], allow_loopback_targets=False, proof_forges="")
    world.app.extensions["authsvc.settings"] = strict
    for place, says in (("http://corp.org/", "begin with https://"), ("https://corp.org:8443/", "without a port")):
        answer = client.post("/account/proof-places/add", kind="web", place=place)
        assert answer.status_code == 422
        assert says in answer.text


@pytest.mark.parametrize(
    "forges",
    ["forge.net", "forge.net=https://forge.net/raw", "forge.net=http://forge.net/{id}", "a=https://{id}.a.net/"],
)
def test_a_forge_in_the_settings_needs_an_https_url_with_the_id_in_its_path(forges: str) -> None:
    with pytest.raises(SettingError, match="PROOF_FORGES"):
        Settings(proof_forges=forges)


# --- standing


@pytest.mark.parametrize(
    ("age", "counts"), [(30 * DAYS - SECOND, False), (30 * DAYS, True), (30 * DAYS + SECOND, True)]
)
def test_a_place_counts_thirty_days_after_it_was_linked(
    world: World, alice: Person, clock: Clock, age: timedelta, counts: bool
) -> None:
    place_id = linked(world, alice, now=clock.now - age)
    world.publish(proof_places.line("recovery"))
    with request_to(world.app):
        assert [place.id for place in proof_places.usable(alice.id, now=clock.now)] == [place_id] * counts
    refused = None if counts else Reason.NOT_USABLE
    assert asked(world, alice, place_id, "recovery", now=clock.now) is refused


def test_after_a_reset_a_place_is_suspended_until_a_new_line_and_a_step_up_confirm_it(
    world: World, client: Visitor, alice: Person, outbox: Outbox, clock: Clock
) -> None:
    # Given a place that counted, whose old line still stands there
    place_id = linked(world, alice, now=clock.now - 40 * DAYS)
    with request_to(world.app):
        accounts.raise_epoch(alice.id, confirm_after=clock.now - SECOND)
    # When a recovery asks it
    assert asked(world, alice, place_id, "recovery", now=clock.now) is Reason.NOT_USABLE
    # Then it has to be confirmed first, and the old line does not do that
    client.sign_in(alice)
    assert "To be confirmed" in client.get("/account").text
    page = client.post(f"/account/proof-places/{place_id}/renew").location
    assert client.post(page).status_code == 422
    world.publish(shown_line(client, page))
    confirm(client, alice, client.post(page).location)
    # And it counts at once, being as old as before
    assert standings(world.app, alice, now=clock.now) == [Standing.READY]
    assert "was confirmed again for" in outbox.to(alice.email)[-1].get_content()


def test_a_place_that_is_not_suspended_gets_no_new_line(
    world: World, client: Visitor, alice: Person, clock: Clock
) -> None:
    place_id = linked(world, alice, now=clock.now - 40 * DAYS)
    client.sign_in(alice)
    assert client.post(f"/account/proof-places/{place_id}/renew").status_code == 404


# --- what a recovery asks


@pytest.mark.parametrize(("kind", "place"), [("web", ""), ("dns", "corp.org"), ("forge.net", FORGE_ID)])
def test_a_recovery_finds_its_own_line_and_no_older_one(
    world: World, alice: Person, clock: Clock, kind: str, place: str
) -> None:
    place_id = linked(world, alice, now=clock.now - 40 * DAYS, kind=kind, place=place)
    assert asked(world, alice, place_id, "recovery", now=clock.now) is Reason.NOT_FOUND
    line = proof_places.line("recovery")
    if kind == "dns":
        world.publish_txt(line)
    else:
        world.publish(line, "/about" if kind == "web" else f"/raw/{place}/proof.txt")
    assert asked(world, alice, place_id, "recovery", now=clock.now) is None


def test_a_place_of_another_account_proves_nothing(
    world: World, alice: Person, make_account: Callable[..., Person], clock: Clock
) -> None:
    place_id, mallory = linked(world, alice, now=clock.now - 40 * DAYS), make_account("mallory")
    world.publish(proof_places.line("recovery"))
    assert asked(world, mallory, place_id, "recovery", now=clock.now) is Reason.NOT_USABLE


@pytest.mark.parametrize("later", [0, 1])
def test_a_domain_registered_after_the_place_was_linked_proves_nothing(
    world: World, alice: Person, clock: Clock, later: int
) -> None:
    linked_at = clock.now - 40 * DAYS
    place_id = linked(world, alice, now=linked_at)
    world.publish(proof_places.line("recovery"))
    world.registry(registered((linked_at + later * SECOND).isoformat()))
    expected = Reason.DOMAIN_REREGISTERED if later else None
    assert asked(world, alice, place_id, "recovery", now=clock.now) is expected


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (registered("2014-03-02T00:00:00Z", "pending delete"), Reason.DOMAIN_UNHEALTHY),
        ({"http": 500}, Reason.DOMAIN_UNCLEAR),
        ({"http": 404, "body": {"errorCode": 404}}, Reason.DOMAIN_UNCLEAR),
        ({"http": 200, "body": {"objectClassName": "domain", "handle": "D1"}}, Reason.DOMAIN_UNCLEAR),
    ],
)
def test_a_domain_that_is_not_in_order_proves_nothing_and_is_not_visited(
    world: World, alice: Person, clock: Clock, answer: dict[str, Any], reason: Reason
) -> None:
    place_id = linked(world, alice, now=clock.now - 40 * DAYS)
    world.publish(proof_places.line("recovery"))
    world.registry(answer)
    world.web.asked.clear()
    assert asked(world, alice, place_id, "recovery", now=clock.now) is reason
    assert "/about" not in world.web.asked


def test_a_registry_that_wants_no_questions_now_leaves_the_place_unproved(
    world: World, make_account: Callable[..., Person], clock: Clock
) -> None:
    # Given a domain whose registry answered yesterday
    bob = make_account("bob", email="bob@corp.org", key=True)
    place_id = linked(world, bob, now=clock.now - 40 * DAYS)
    forge = linked(world, bob, now=clock.now - 40 * DAYS, kind="forge.net", place=FORGE_ID)
    world.publish(proof_places.line("recovery"))
    assert asked(world, bob, place_id, "recovery", now=clock.now - DAYS) is None
    # When it asked to be left alone since, over another domain
    world.web.add_rdap({"forge.net": {"http": 429, "retry_after": 600}})
    assert asked(world, bob, forge, "recovery", now=clock.now) is Reason.DOMAIN_UNCLEAR
    # Then its answer of yesterday does not show who holds the domain today
    assert asked(world, bob, place_id, "recovery", now=clock.now) is Reason.DOMAIN_UNCLEAR
    assert asked(world, bob, place_id, "recovery", now=clock.now + timedelta(seconds=601)) is None


def test_a_domain_that_moved_altogether_across_its_expiry_proves_nothing(
    world: World, alice: Person, clock: Clock
) -> None:
    # Given a domain whose date passed: auctions keep the date of registration
    paid = registered()
    paid["body"]["events"].append({"eventAction": "expiration", "eventDate": (clock.now - DAYS).isoformat()})
    world.registry(paid)
    place_id = linked(world, alice, now=clock.now - 40 * DAYS)
    world.publish(proof_places.line("recovery"))
    # When its name servers and mail hosts are others afterwards
    world.registry()
    hosts = [["mx.new.net", "A", "203.0.113.9"], ["ns1.new.net", "A", "203.0.113.9"]]
    records = [["corp.org", "NS", "ns1.new.net."], ["corp.org", "MX", "10 mx.new.net."], *hosts]
    world.dns.zone = servers.Zone(records)
    # Then its pages speak for nobody
    assert asked(world, alice, place_id, "recovery", now=clock.now) is Reason.DOMAIN_UNHEALTHY


@pytest.mark.parametrize("sign", ["transfer", "registrar", "name-servers", "none"])
def test_a_domain_that_may_have_been_sold_since_proves_nothing(
    world: World, alice: Person, clock: Clock, sign: str
) -> None:
    def says(registrar: str, *, transferred_at: datetime, expires_at: datetime) -> None:
        answer = registered()
        events = (("transfer", transferred_at), ("expiration", expires_at))
        answer["body"]["events"] += [{"eventAction": what, "eventDate": at.isoformat()} for what, at in events]
        answer["body"]["entities"] = [{"objectClassName": "entity", "roles": ["registrar"], "handle": registrar}]
        world.registry(answer)

    # Given a place linked 40 days ago, whose domain has been renewed since
    linked_at = clock.now - 40 * DAYS
    says("R1", transferred_at=linked_at, expires_at=clock.now - 5 * DAYS)
    place_id = linked(world, alice, now=linked_at)
    world.publish(proof_places.line("recovery"))
    # When one thing about it speaks of other hands
    transferred_at = linked_at + SECOND if sign == "transfer" else linked_at
    registrar = "R2" if sign == "registrar" else "R1"
    says(registrar, transferred_at=transferred_at, expires_at=clock.now + 360 * DAYS)
    if sign == "name-servers":
        moved = [["corp.org", "NS", "ns1.other.com."], ["ns1.other.com", "A", "203.0.113.54"]]
        world.dns.zone = servers.Zone(
            [*moved, ["corp.org", "MX", "10 mx.mail.net."], ["mx.mail.net", "A", "203.0.113.1"]]
        )
    # Then it does not count, and otherwise it does
    assert asked(world, alice, place_id, "recovery", now=clock.now) is (None if sign == "none" else Reason.DOMAIN_MOVED)


def test_a_place_at_the_domain_of_an_address_in_doubt_proves_nothing(
    world: World, make_account: Callable[..., Person], clock: Clock
) -> None:
    bob = make_account("bob", email="bob@corp.org", key=True)
    place_id = linked(world, bob, now=clock.now - 40 * DAYS)
    world.publish(proof_places.line("recovery"))
    assert asked(world, bob, place_id, "recovery", now=clock.now) is None
    with request_to(world.app):
        (address,) = accounts.addresses(bob.id)
        accounts.block_address(address.id, reason="NOT_REGISTERED", now=clock.now)
    assert asked(world, bob, place_id, "recovery", now=clock.now) is Reason.UNHEALTHY_ADDRESS


def test_a_page_that_leads_elsewhere_is_not_followed(world: World, alice: Person, clock: Clock) -> None:
    place_id = linked(world, alice, now=clock.now - 40 * DAYS)
    world.publish(proof_places.line("recovery"), "/other")
    for target in (world.page.replace("corp.org/about", "elsewhere.net/other"), "/other"):
        world.publish("moved", http=302, location=target)
        world.web.asked.clear()
        assert asked(world, alice, place_id, "recovery", now=clock.now) is Reason.MOVED
        assert "/other" not in world.web.asked


def test_a_page_at_a_private_address_is_not_visited(world: World, alice: Person, clock: Clock) -> None:
    place_id = linked(world, alice, now=clock.now - 40 * DAYS)
    world.publish(proof_places.line("recovery"))
    world.use(http=HttpClient())  # as outside of development
    world.web.asked.clear()
    assert asked(world, alice, place_id, "recovery", now=clock.now) is Reason.UNREACHABLE
    assert "/about" not in world.web.asked


@pytest.mark.parametrize("answer", [{"http": 404}, {"http": 500}, {"http": 200, "raw": "x" * (256 * 1024 + 1)}])
def test_a_page_that_cannot_be_read_proves_nothing(
    world: World, alice: Person, clock: Clock, answer: dict[str, Any]
) -> None:
    place_id = linked(world, alice, now=clock.now - 40 * DAYS)
    line = proof_places.line("recovery")
    world.web.answers["/about"] = {**answer, "raw": line + answer.get("raw", "")}
    assert asked(world, alice, place_id, "recovery", now=clock.now) is Reason.UNREACHABLE


def test_a_text_behind_an_alias_is_not_the_domain_s_own(world: World, alice: Person, clock: Clock) -> None:
    place_id = linked(world, alice, now=clock.now - 40 * DAYS, kind="dns", place="corp.org")
    text = f'"{proof_places.line("recovery")}"'
    world.zone([TXT, "CNAME", "free.elsewhere.net."], ["free.elsewhere.net", "TXT", text])
    assert asked(world, alice, place_id, "recovery", now=clock.now) is Reason.NOT_FOUND


def test_both_resolvers_have_to_see_a_text(world: World, alice: Person, clock: Clock) -> None:
    place_id = linked(world, alice, now=clock.now - 40 * DAYS, kind="dns", place="corp.org")
    text = [TXT, "TXT", f'"{proof_places.line("recovery")}"']
    for do, reason in (("nodata", Reason.NOT_FOUND), ("servfail", Reason.UNREACHABLE)):
        world.zone(text, behaviour=({"name": TXT, "type": "TXT", "resolver": 1, "do": do},))
        assert asked(world, alice, place_id, "recovery", now=clock.now) is reason


def test_a_forge_that_left_the_settings_is_not_asked(world: World, alice: Person, clock: Clock) -> None:
    place_id = linked(world, alice, now=clock.now - 40 * DAYS, kind="forge.net", place=FORGE_ID)
    kept = world.app.extensions["authsvc.settings"]
    world.app.extensions["authsvc.settings"] = replace(kept, proof_forges="")
    assert asked(world, alice, place_id, "recovery", now=clock.now) is Reason.UNREACHABLE


def test_on_one_s_own_machine_a_reserved_name_will_do(
    world: World, alice: Person, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, *more, **named: look_up("corp.org", *more, **named))
    page = world.page.replace("corp.org", "corp.test")
    place_id = linked(world, alice, now=clock.now - 40 * DAYS, place=page)
    world.publish(proof_places.line("recovery"))
    assert asked(world, alice, place_id, "recovery", now=clock.now) is None


def test_without_a_resolver_a_text_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("authsvc.adapters.dns._system_resolvers", lambda: ())
    assert DnsClient("").txt(TXT) is DnsFault.TIMEOUT


def test_the_place_is_asked_outside_of_transactions_and_must_still_count_afterwards(
    world: World, alice: Person, clock: Clock
) -> None:
    place_id = linked(world, alice, now=clock.now - 40 * DAYS)
    within: list[bool] = []

    class Slow:
        """A page during whose answer the owner unlinks the place."""

        def request(self, *_args: object, **_kwargs: object) -> HttpAnswer:
            within.append(db.session().in_transaction())
            assert proof_places.unlink(alice.id, place_id, now=clock.now)
            db.commit()
            return HttpAnswer(status=200, headers={}, body=proof_places.line("recovery").encode())

    world.use(http=Slow())
    assert asked(world, alice, place_id, "recovery", now=clock.now) is Reason.NOT_USABLE
    assert within == [False]


def test_a_deleted_account_leaves_no_place_behind(world: World, alice: Person, clock: Clock) -> None:
    linked(world, alice, now=clock.now - 40 * DAYS)
    with request_to(world.app):
        proof_places.erase(alice.id, now=clock.now)
    assert standings(world.app, alice, now=clock.now) == []
