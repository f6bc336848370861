"""The blueprint of this slice's pages."""

from flask import Blueprint

bp = Blueprint("cases", __name__)
