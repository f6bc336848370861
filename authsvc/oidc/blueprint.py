"""The slice's blueprint; pages are in `views`, endpoints for programs in `endpoints`."""

from flask import Blueprint

bp = Blueprint("oidc", __name__)
