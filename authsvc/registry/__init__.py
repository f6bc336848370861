"""The HTTP interface for registries: they say what is used by how many, and read who must have a second factor.

Programs call it with a token of their own. What it serves is described at `/api/v1/openapi.json`; the work is done by
`mandates`.
"""

from authsvc.registry.views import bp

__all__ = ["bp"]
