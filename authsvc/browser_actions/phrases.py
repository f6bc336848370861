"""Two words that both sides of an approval show, so that a person sees whether they belong together."""

import secrets

QUALITIES = (
    "amber", "ancient", "autumn", "blue", "brave", "bright", "calm", "clever", "cosy", "crimson", "curious", "dusty",
    "early", "eager", "faint", "fair", "fancy", "gentle", "golden", "green", "happy", "hidden", "humble", "icy",
    "jolly", "kind", "lively", "lonely", "lucky", "mellow", "misty", "modest", "narrow", "noble", "olive", "patient",
    "plain", "polite", "proud", "purple", "quick", "quiet", "rapid", "rare", "rosy", "round", "rustic", "salty",
    "scarlet", "shiny", "silent", "silver", "simple", "slow", "snowy", "sunny", "swift", "tidy", "tiny", "velvet",
    "warm", "wild", "windy", "young",
)  # fmt: skip
THINGS = (
    "acorn", "anchor", "anvil", "apple", "badger", "barrel", "beacon", "bridge", "candle", "castle", "cherry", "cloud",
    "comet", "compass", "copper", "cradle", "desert", "dolphin", "falcon", "feather", "forest", "fountain", "garden",
    "glacier", "harbour", "hedgehog", "island", "ivory", "jacket", "kettle", "ladder", "lantern", "lemon", "lighthouse",
    "marble", "meadow", "mirror", "mountain", "needle", "oyster", "paddle", "pebble", "pepper", "pillow", "planet",
    "pocket", "puzzle", "rabbit", "ribbon", "river", "rocket", "saddle", "sailor", "shadow", "sparrow", "spoon",
    "summit", "teapot", "thimble", "tunnel", "turtle", "valley", "violin", "walnut",
)  # fmt: skip


def phrase() -> str:
    """One of 4,096 phrases such as "calm lantern". Not a secret: it tells requests apart, it opens nothing."""
    return f"{secrets.choice(QUALITIES)} {secrets.choice(THINGS)}"
