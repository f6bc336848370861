"""Where the rows of an account lie in `ownerships`: kept beside it, since an index there costs an import too much.

An import writes in the order of packages. An index by account would take each of five million rows into another page,
of which SQLite writes every one twice (decision 0034); this table is filled in its own order instead. It says where to
look and decides nothing (`models.of_account`): a pair too many harms nobody, and one too few would hide a row.
"""

from collections.abc import Iterable

from sqlalchemy import ColumnElement, delete, select, tuple_

from authsvc.core import db
from authsvc.mandates.models import Ownership, OwnershipOfAccount

Pair = tuple[int, int]  # account, row of ownerships


def note(pairs: Iterable[Pair]) -> None:
    """Within the transaction that gives rows an account."""
    values = [{"account_id": account_id, "ownership_id": ownership_id} for account_id, ownership_id in pairs]
    if values:
        db.session().execute(db.upsert(OwnershipOfAccount).on_conflict_do_nothing(), values)


def forget(rows: ColumnElement[bool]) -> None:
    """Within the transaction that deletes rows, before it does."""
    pairs = select(Ownership.account_id, Ownership.id).where(rows, Ownership.account_id.is_not(None))
    named = tuple_(OwnershipOfAccount.account_id, OwnershipOfAccount.ownership_id).in_(pairs)
    db.session().execute(delete(OwnershipOfAccount).where(named), execution_options={"synchronize_session": False})
