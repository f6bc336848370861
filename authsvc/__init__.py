"""authsvc: an identity provider that expects leaked passwords, lapsed mail domains and copied cookies.

Start with `app.py` (what is wired to what), then `policy/` (every decision), then the slice you need.
"""
