"""Account recovery, for whoever lost every factor or whose mail domain lapsed (POLICY 10).

What a case needs and who decides is in `policy/recovery.py`.
"""

from authsvc.cases import models as models
from authsvc.cases.blueprint import bp

__all__ = ["bp"]
