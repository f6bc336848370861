"""The blueprint that all account pages hang on."""

from flask import Blueprint

bp = Blueprint("account_pages", __name__)
