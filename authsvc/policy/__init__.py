"""Every decision, as pure functions: facts in, decision out; no clock, no database, no network."""
