"""A folder for each folder of `authsvc`; `journeys` holds whole stories; `servers` runs what they need."""
