"""A town in simulated time: people, attackers, and the doors they try. `attack_simulation.py` runs it."""
