"""Errors for input we cannot work with and state that is gone, and the one place that turns them into a response.

Expected refusals are returned decisions, never exceptions. What is shown is fixed text on the class;
what happened goes into `detail`, which only the log sees.
"""

import logging
import secrets

from flask import Flask, Response, jsonify, make_response, render_template, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from authsvc.core import db

log = logging.getLogger(__name__)


class AuthError(Exception):
    """Base of all. `detail` is for the log; `retry_after` in seconds sets the header of that name.

    `way_on`: the words and the address of a link that leads on, on a page.
    """

    status = 400
    code = "invalid_request"
    title = "That did not work"
    message = "The request could not be understood. Please go back and try again."

    def __init__(
        self,
        detail: str = "",
        *,
        message: str | None = None,
        retry_after: int | None = None,
        way_on: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(detail or self.code)
        self.detail = detail
        self.retry_after = retry_after
        self.way_on = way_on
        if message is not None:
            self.message = message


class BadInput(AuthError):
    """A field is missing, doubled, too long, or not what it should be. `message` says which."""


class BadCsrf(AuthError):
    """An unsafe request came without the token of its page."""

    status = 403
    code = "csrf"
    title = "This page is out of date"
    message = "For your safety this form can only be sent from a page opened in this browser. Open the page again."


class Forbidden(AuthError):
    """The caller is known but may not do this."""

    status = 403
    code = "forbidden"
    title = "You cannot do this now"
    message = "Your account may not do this at the moment."


class NotSignedIn(AuthError):
    """The caller is not signed in and the route is not a page that could lead to sign-in."""

    status = 401
    code = "login_required"
    title = "Please sign in"
    message = "This needs you to be signed in."


class NotFound(AuthError):
    """There is nothing at this address, or nothing the caller may see."""

    status = 404
    code = "not_found"
    title = "Page not found"
    message = "There is nothing at this address. It may have been used already, or mistyped."


class Gone(AuthError):
    """A link, a code page or a started sign-in is over."""

    status = 410
    code = "gone"
    title = "This is over"
    message = "This link or page was already used or is too old. Please start again."


class TooMany(AuthError):
    """A limit by network or account is exhausted; `retry_after` says for how long."""

    status = 429
    code = "too_many_requests"
    title = "Please wait a moment"
    message = "There were too many attempts. Please wait a moment and try again."


class Busy(AuthError):
    """The hashing queue is full (POLICY 7)."""

    status = 503
    code = "busy"
    title = "Very busy"
    message = "The service is very busy. Please try again in a few seconds."


def wants_json() -> bool:
    """True where the route or the caller speaks JSON rather than pages."""
    if getattr(request, "machine", False):
        return True
    best = request.accept_mimetypes.best_match(["text/html", "application/json"])
    return best == "application/json"


def render(status: int, code: str, title: str, message: str, way_on: tuple[str, str] | None = None) -> Response:
    """The response to a failure, as JSON or as a page."""
    if wants_json():
        response = jsonify(error=code, error_description=message)
    else:
        page = render_template("error.html", title=title, message=message, status=status, way_on=way_on)
        response = make_response(page)
    response.status_code = status
    response.headers["Cache-Control"] = "no-store"
    return response


def register(app: Flask) -> None:
    """Attach the handlers. Each rolls the request's transaction back first."""

    @app.errorhandler(AuthError)
    def auth_error(error: AuthError) -> Response:
        db.rollback()
        log.info("%s %s: %s", request.method, request.endpoint, error.detail or error.code)  # a path may hold a token
        response = render(error.status, error.code, error.title, error.message, error.way_on)
        if error.retry_after is not None:
            response.headers["Retry-After"] = str(max(1, error.retry_after))
        return response

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        db.rollback()
        status = error.code or 500
        if status < 400:  # a redirect of the router
            return make_response(error.get_response())
        titles = {404: (NotFound.title, NotFound.message), 429: (TooMany.title, TooMany.message)}
        title, message = titles.get(status, (AuthError.title, AuthError.message))
        code = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media_type"}
        response = render(
            status,
            code.get(status, "too_many_requests" if status == 429 else "invalid_request"),
            title,
            message,
        )
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
        retry_after = error.get_response().headers.get("Retry-After")
        if status == 429:
            response.headers["Retry-After"] = retry_after or "60"
        return response

    @app.errorhandler(Exception)
    def surprise(error: Exception) -> Response:
        db.rollback()
        incident = secrets.token_hex(4)
        log.error("incident %s on %s %s", incident, request.method, request.endpoint, exc_info=error)
        message = f"Something failed on our side and nothing was changed. If it happens again, quote {incident}."
        return render(500, "server_error", "Something went wrong", message)
