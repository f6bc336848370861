"""The provider's fixtures, which the device grant ends at."""

from tests.oidc.conftest import alice, key_pairs, signing_keys, site

__all__ = ["alice", "key_pairs", "signing_keys", "site"]
