"""OpenID provider and OAuth server: other programs verify people here and act for them, as far as they allowed.

The order of the checks of an authorization request is in `authorize`, what is traded for tokens in `token`. Verbs:
ensure_keys (make missing signing keys), purge. `commands` are the command line's groups.
"""

from authsvc.oidc import endpoints, views  # noqa: F401 -- their routes
from authsvc.oidc.blueprint import bp
from authsvc.oidc.commands import commands
from authsvc.oidc.keys import ensure_keys
from authsvc.oidc.requests import purge

__all__ = ["bp", "commands", "ensure_keys", "purge"]
