"""Guesses in processes of their own, as web servers make them: what tests of races across processes start."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from authsvc.app import create_app
from authsvc.core.config import Settings

GUESSES, THREADS = 16, 4


def guess(settings: Settings, username: str, at: datetime) -> Counter[str]:
    """Guess wrongly at one account from many threads of this process; how many were compared and how many refused."""
    from authsvc import accounts, passwords
    from tests.slices import request_to

    app = create_app(settings, clock=lambda: at)

    def one(number: int) -> str:
        with request_to(app):
            account = accounts.find(username)
            assert account is not None
            verified = passwords.verify(account.id, f"wrong {number}", name=username, browser_id=None, now=at)
            return "compared" if verified.charged else "refused"

    with ThreadPoolExecutor(THREADS) as pool:
        return Counter(pool.map(one, range(GUESSES)))
