"""The blueprint that all pages of the console hang on."""

from flask import Blueprint

bp = Blueprint("staff", __name__, url_prefix="/staff")
