"""Where anybody who got a mail finds out whether it came from us."""

from flask import render_template
from flask.typing import ResponseReturnValue

from authsvc import mail
from authsvc.account_pages.blueprint import bp
from authsvc.core.rate_limits import limited
from authsvc.core.web import public, text_field


@bp.get("/mail/check")
@public
def mail_check() -> ResponseReturnValue:
    """Ask for the mark and the address."""
    return render_template("account_pages/mail_check.html", asked=False, found=None, code="", email="")


@bp.post("/mail/check")
@public
@limited("mail_check")
def check_mail() -> ResponseReturnValue:
    """Say whether such a mail was sent to that address; every other case gets one answer (POLICY 14)."""
    code, email = text_field("code", max_length=100), text_field("email")
    found = mail.check(code, email)
    return render_template("account_pages/mail_check.html", asked=True, found=found, code=code, email=email)
