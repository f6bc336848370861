"""Mail transport: hands one finished message over, to an SMTP server or as a file in a folder."""

import os
import secrets
import smtplib
import ssl
import time
from email.message import EmailMessage
from email.policy import default
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

TIMEOUT_SECONDS = 20.0


class MailNotSent(Exception):
    """The message was not taken. `permanent`: trying again is useless."""

    def __init__(self, detail: str, *, permanent: bool) -> None:
        super().__init__(detail)
        self.permanent = permanent


class MailTransport:
    """Sends through `smtp://[user:password@]host[:port]`, `smtps://…` or `file:FOLDER` of the instance.

    With smtp://, TLS is used whenever the server offers it, and passwords are sent over TLS or loopback only.
    """

    def __init__(self, url: str, instance: Path) -> None:
        """Raises ValueError for another kind of URL."""
        parts = urlsplit(url)
        if parts.scheme not in {"smtp", "smtps", "file"}:
            raise ValueError(f"not smtp://, smtps:// or file:FOLDER: {parts.scheme}:")
        if parts.scheme != "file" and not parts.hostname:
            raise ValueError("the SMTP URL names no host")
        self._parts = parts
        self._folder = instance / parts.path.lstrip("/") if parts.scheme == "file" else None

    def send(self, message: EmailMessage) -> None:
        """Hand the message over to its recipients in `To`. Raises MailNotSent."""
        if self._folder is not None:
            _write(self._folder, message)
            return
        try:
            self._deliver(message)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _text in error.recipients.values()]
            raise MailNotSent(str(error.recipients), permanent=all(code >= 500 for code in codes)) from error
        except smtplib.SMTPNotSupportedError as error:  # an international address, and the server knows none
            raise MailNotSent(str(error), permanent=True) from error
        except smtplib.SMTPDataError as error:
            raise MailNotSent(str(error), permanent=error.smtp_code >= 500) from error
        except (smtplib.SMTPException, OSError) as error:
            raise MailNotSent(str(error), permanent=False) from error

    def _deliver(self, message: EmailMessage) -> None:
        parts, host = self._parts, self._parts.hostname or ""
        context = ssl.create_default_context()
        if parts.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=TIMEOUT_SECONDS, context=context)
        else:
            server = smtplib.SMTP(host, parts.port or 25, timeout=TIMEOUT_SECONDS)
        with server:
            server.ehlo_or_helo_if_needed()
            safe = parts.scheme == "smtps" or _is_loopback(host)
            if parts.scheme == "smtp" and server.has_extn("starttls") and not _is_loopback(host):
                server.starttls(context=context)
                safe = True
            self._log_in(server, parts, safe=safe)
            server.send_message(message)

    @staticmethod
    def _log_in(server: smtplib.SMTP, parts: SplitResult, *, safe: bool) -> None:
        if parts.username is None:
            return
        if not safe:
            raise MailNotSent("the server offers no TLS, so no password is sent to it", permanent=False)
        server.login(unquote(parts.username), unquote(parts.password or ""))


def _write(folder: Path, message: EmailMessage) -> None:
    """Write the message as one complete .eml file: readers never see half of one. Names sort by time."""
    name = f"{time.time_ns():020d}-{secrets.token_hex(4)}.eml"
    unfinished = folder / f".{name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(message.as_bytes(policy=default))  # lines end as this machine's do
        unfinished.rename(folder / name)
    except OSError as error:
        raise MailNotSent(str(error), permanent=False) from error


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
