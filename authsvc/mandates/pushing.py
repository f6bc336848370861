"""What a registry pushes over HTTP, one package at a time. The same again changes nothing."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import delete, insert, select, update

from authsvc import accounts
from authsvc.core import db
from authsvc.mandates import by_account
from authsvc.mandates.models import Ownership, Package, is_current, newest_snapshot
from authsvc.mandates.reading import OwnershipLine, PackageLine
from authsvc.mandates.snapshots import Running, is_running, keep_apart


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """How many rows a push added, changed and removed."""

    added: int = 0
    changed: int = 0
    removed: int = 0


def _begin() -> int:
    """Keep imports away until the transaction ends; the snapshot that new rows belong to. Raises Running."""
    keep_apart("SHARE ROW EXCLUSIVE")  # one push at a time as well: two may name one package
    if is_running():
        raise Running
    return db.session().scalars(select(newest_snapshot())).one()


def put_package(line: PackageLine) -> Pushed:
    """Store a package's figures; what the line leaves out is unknown from then on. Raises Running."""
    snapshot = _begin()
    told = {**asdict(line.impact), "high_impact": line.impact.is_high}
    mine = (Package.ecosystem == line.ecosystem, Package.name == line.name, is_current(Package))
    known = db.session().execute(select(Package.id, *(getattr(Package, name) for name in told)).where(*mine)).first()
    if known is None:
        key = {"ecosystem": line.ecosystem, "name": line.name, "from_snapshot": snapshot}
        db.session().execute(insert(Package).values(**key, **told))
        return Pushed(added=1)
    if all(getattr(known, name) == value for name, value in told.items()):
        return Pushed()
    db.session().execute(update(Package).where(Package.id == known.id).values(**told))
    return Pushed(changed=1)


def put_maintainers(ecosystem: str, package: str, lines: Sequence[OwnershipLine]) -> Pushed:
    """Store who maintains a package: these and nobody else. Dates of acceptance never move later. Raises Running."""
    snapshot = _begin()
    query = select(Ownership.id, Ownership.account, Ownership.role, Ownership.accepted_at).where(
        Ownership.ecosystem == ecosystem, Ownership.package == package, is_current(Ownership)
    )
    # Locked: an invitation that is being accepted here is read once that is done, or accepted after this.
    known = {row.account: row for row in db.session().execute(query.with_for_update())}
    names = {line.account for line in lines}
    added = changed = 0
    for line in lines:
        row = known.get(line.account)
        if row is None:
            account = accounts.find(line.account)
            values = {**line._asdict(), "account_id": account.id if account else None, "from_snapshot": snapshot}
            id_ = db.session().scalars(insert(Ownership).values(**values).returning(Ownership.id)).one()
            by_account.note([(account.id, id_)] if account else [])
            added += 1
            continue
        dates = [moment for moment in (row.accepted_at, line.accepted_at) if moment is not None]
        told = {"role": line.role, "accepted_at": min(dates, default=None)}
        if told != {"role": row.role, "accepted_at": row.accepted_at}:
            db.session().execute(update(Ownership).where(Ownership.id == row.id).values(**told))
            changed += 1
    gone = [row.id for name, row in known.items() if name not in names]
    by_account.forget(Ownership.id.in_(gone))
    db.session().execute(delete(Ownership).where(Ownership.id.in_(gone)))
    return Pushed(added=added, changed=changed, removed=len(gone))
