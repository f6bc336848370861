"""Sessions bound to a key in the device, as far as the browser offers it: a copied cookie dies within minutes.

Speaks Device Bound Session Credentials (W3C draft; Chromium from 145) over https. At sign-in the browser is offered to
register a key; whoever ignores the offer keeps a plain session. What is stored is in `sessions` (decision 0016).
Verb: offer.
"""

from authsvc.device_bound.views import bp, offer

__all__ = ["bp", "offer"]
