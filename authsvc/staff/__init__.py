"""The console of the people who run the service: what waits, what is blocked, recovery cases to decide, and mandates.

Who may come in is a rule of `policy/permission.py` (`Rule.staff`), applied by `access` before every view here. What a
decision leads to is `cases`' affair.
"""

from authsvc.staff import mandates, phases, recovery, start
from authsvc.staff.blueprint import bp

__all__ = ["bp", "mandates", "phases", "recovery", "start"]
