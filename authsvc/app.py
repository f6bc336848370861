"""create_app(): settings, adapters and slices put together. The one file that knows every slice."""

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from authsvc import (
    access,
    account_pages,
    adapters,
    browser_actions,
    cases,
    device_bound,
    login,
    oidc,
    recovery,
    registry,
    root,
    staff,
    stuffing,
    webauthn,
)
from authsvc.adapters import Adapters
from authsvc.core import config, crypto, db, errors, rate_limits, templating, web
from authsvc.core.config import SettingError, Settings

BLUEPRINTS = (
    root.bp,
    device_bound.bp,
    login.bp,
    access.bp,
    account_pages.bp,
    recovery.bp,
    browser_actions.bp,
    oidc.bp,
    registry.bp,
    cases.bp,
    staff.bp,
)


def utc_now() -> datetime:
    """The clock of production."""
    return datetime.now(UTC)


def create_app(
    settings: Settings | None = None,
    parts: Adapters | None = None,
    *,
    clock: Callable[[], datetime] = utc_now,
) -> Flask:
    """The whole application. Tests give it settings, other parts and a clock; the server gives it nothing.

    Raises SettingError for settings that cannot be used.
    """
    settings = settings or config.load()
    app = Flask("authsvc", static_folder="static", template_folder="templates", instance_path=str(settings.instance))
    app.extensions["authsvc.settings"] = settings
    app.extensions["authsvc.clock"] = clock
    app.extensions["authsvc.keys"] = _keys(settings)
    app.extensions["authsvc.adapters"] = parts = parts or adapters.connect(settings)
    app.extensions["authsvc.places"] = parts.places.look_up
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    db.init(app, settings.database)
    errors.register(app)
    web.register(app)
    templating.register(app)
    rate_limits.register(app, redis_url=settings.redis_url, workers=settings.workers)
    stuffing.register(app, redis_url=settings.redis_url, processes=settings.workers or os.cpu_count() or 1)
    access.register(app)
    webauthn.register(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    app.wsgi_app = login.shed_strangers(app.wsgi_app, secure=settings.secure)  # type: ignore[method-assign, assignment]
    return app


def _keys(settings: Settings) -> crypto.SealingKeys:
    embedded = settings.database.startswith("sqlite")
    try:
        return crypto.load_keys(settings.sealing_keys, create=embedded)
    except FileNotFoundError as error:
        raise SettingError(
            f"AUTHSVC_SEALING_KEYS_FILE: {settings.sealing_keys} is missing. With PostgreSQL every machine needs "
            "the same file; the README says how to make it (A real installation)."
        ) from error
    except ValueError as error:
        raise SettingError(f"AUTHSVC_SEALING_KEYS_FILE: {error}") from error


def wsgi() -> Flask:
    """What the server calls in each of its processes."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    return create_app()
