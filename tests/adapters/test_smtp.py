"""The mail transport, into a real mail server and into a folder."""

import stat
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from authsvc.adapters.smtp import MailNotSent, MailTransport
from tests import servers


def mail(to: str = "dev@corp.org") -> EmailMessage:
    """A message with what ours have: non-ASCII text and a long line."""
    message = EmailMessage(policy=policy.SMTP)
    message["From"], message["To"], message["Subject"] = "security@localhost", to, "Grüße"
    message.set_content("Ein Code:\n\n123456\n\n" + "wörter " * 60)
    return message


def test_a_message_arrives_as_it_was_written(smtp_server: servers.Smtp, tmp_path: Path) -> None:
    MailTransport(smtp_server.url, tmp_path).send(mail())
    (got,) = smtp_server.messages
    assert (got["X-Envelope-To"], got["Subject"]) == ("dev@corp.org", "Grüße")
    assert "\n123456\n" in got.get_content().replace("\r\n", "\n")


@pytest.mark.parametrize(("reply", "permanent"), [("550 no such user", True), ("451 later", False)])
def test_a_refused_recipient_is_refused_for_good_or_for_now(
    smtp_server: servers.Smtp, tmp_path: Path, reply: str, permanent: bool
) -> None:
    smtp_server.refuse["dev@corp.org"] = reply
    with pytest.raises(MailNotSent) as caught:
        MailTransport(smtp_server.url, tmp_path).send(mail())
    assert caught.value.permanent == permanent


def test_an_absent_server_is_tried_again_later(tmp_path: Path) -> None:
    with pytest.raises(MailNotSent) as caught:
        MailTransport(f"smtp://127.0.0.1:{servers.free_port()}", tmp_path).send(mail())
    assert not caught.value.permanent


def test_a_folder_gets_one_complete_private_file_a_message(tmp_path: Path) -> None:
    transport = MailTransport("file:outbox", tmp_path)
    transport.send(mail("first@corp.org"))
    transport.send(mail("second@corp.org"))
    files = sorted((tmp_path / "outbox").iterdir())
    read = [message_from_bytes(file.read_bytes(), policy=policy.default) for file in files]
    assert [(file.suffix, message["To"]) for file, message in zip(files, read, strict=True)] == [
        (".eml", "first@corp.org"),
        (".eml", "second@corp.org"),
    ]
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_written_is_tried_again_later(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file is in the way")
    with pytest.raises(MailNotSent) as caught:
        MailTransport("file:outbox", tmp_path).send(mail())
    assert not caught.value.permanent


@pytest.mark.parametrize("url", ["http://mail.example", "smtp:", "smtps://", "outbox"])
def test_other_urls_are_refused_at_start(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"."):
        MailTransport(url, tmp_path)
