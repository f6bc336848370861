"""Words and plumbing that every slice shares. Knows no slice."""
