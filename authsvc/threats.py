"""What the service defends against, as `/threats` shows it: attack, defence, and where the defence is tested.

The longer page, with what is not stopped, is docs/threats.md.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Threat:
    """One way accounts were taken elsewhere, and what stands in its way here."""

    title: str
    attack: str
    defence: str
    tested_in: str | None = None
    figure: str | None = None


THREATS: list[Threat] = [
    Threat(
        title="A password that leaked elsewhere",
        attack="Lists of stolen passwords are tried at every service, and people use one password in many places.",
        defence="Passwords known from leaks are refused. A right password alone opens nothing: a second step follows, "
        "or a code by mail where none is set up.",
        tested_in="tests/login/test_sign_in.py",
    ),
    Threat(
        title="Guessing",
        attack="Passwords and codes are guessed from thousands of networks, in many sign-ins, or all in one instant.",
        defence="Every guess is charged to the account before it is compared, whichever way in it came by, and a "
        "restart forgets nothing. Browsers the account knows have a budget of their own, so strangers cannot lock "
        "anybody out.",
        tested_in="tests/policy/test_budget.py",
    ),
    Threat(
        title="A mail domain that ran out",
        attack="Somebody registers the lapsed domain of a maintainer's address, receives the mail and resets the "
        "password.",
        defence="Right before a reset link would be mailed, the domain is looked up in DNS and at its registry. "
        "Lapsed, or registered again since the address was confirmed: no link, and the block stays even when the "
        "domain works again.",
        tested_in="tests/recovery/test_reset.py",
    ),
    Threat(
        title="A reset that skips the second step",
        attack="Whoever reads the mailbox resets the password and is in, although a key or an app was set up.",
        defence="A reset asks for what is set up before it changes anything, ends every session and token, and makes "
        "risky actions wait. The link works once, for an hour, and dies when anything changes in between.",
        tested_in="tests/recovery/test_reset.py",
    ),
    Threat(
        title="A page that looks like this one",
        attack="A copied sign-in page passes password and code on while its victim types them.",
        defence="Keys and passkeys answer only to this site's own address, so a copy gets nothing. Codes by mail or "
        "from an app do not stop this, and nothing here says they do.",
        tested_in="tests/webauthn/test_webauthn.py",
    ),
    Threat(
        title="Talking the people who run it into it",
        attack="Somebody writes to support as an owner who lost everything, until one person of staff gives in; or one "
        "person of staff is the attacker.",
        defence="Two people decide, neither the target nor anybody who maintains a package with it, each with a key "
        "at that moment and a reason. Every look and vote stands in the account's log, its addresses are told, and "
        "days go by in which they may object. Nobody of staff sees or sets a password.",
        tested_in="tests/staff/test_recovery.py",
    ),
    Threat(
        title="A borrowed or stolen session",
        attack="With an open browser or a copied cookie the password is changed, or a new key is added and the old "
        "one removed.",
        defence="Each such change is shown by itself and proved again with the strongest older thing the account has; "
        "the proof counts for that one change, once. What is new cannot remove what is older for 72 hours, and the "
        "owner is told by mail.",
        tested_in="tests/access/test_step_up.py",
    ),
    Threat(
        title="A copied cookie",
        attack="Malware copies the cookies of a browser, and they are used from somewhere else for weeks.",
        defence="Browsers that can bind a session to a key in the device do: a copy is worthless in ten minutes. In "
        "any browser a session stops when it is seen in another kind of browser or another country, until its owner "
        "signs in again. Malware that stays on the machine can use the session there, and nothing here says otherwise.",
        tested_in="tests/journeys/test_stolen_cookie.py",
    ),
    Threat(
        title="A used code, used again",
        attack="A code, link or recovery code is tried a second time, in another browser, or twice at one instant.",
        defence="Each is bound to one purpose in one browser or account, and spent in a single step that only one of "
        "two rivals can win.",
        tested_in="tests/totp/test_totp.py",
    ),
    Threat(
        title="An account prepared for its victim",
        attack="Somebody registers with another person's address, leaves a session or key behind and waits.",
        defence="There is no account until the code from the mail was typed in; nothing can be left behind in it.",
        tested_in="tests/account_pages/test_registration.py",
    ),
    Threat(
        title="Consent by trickery",
        attack="A link leads to a page that approves somebody else's program, or hands a sign-in to another site.",
        defence="Opening a link approves nothing. The page names the program, what it will be able to do, and where "
        "and when the request began. Sites get answers only at the exact address they registered, each bound to "
        "their own request.",
        tested_in="tests/oidc/test_authorize.py",
    ),
    Threat(
        title="A stolen token",
        attack="Malware reads the token file of a package manager or a build machine.",
        defence="Access tokens live for an hour and are looked up at each use, so revoking one counts at once. A "
        "refresh token that is shown twice ends everything issued with it.",
        tested_in="tests/oidc/test_token.py",
    ),
    Threat(
        title="A much-used package without a second step",
        attack="Of all accounts, those that could reach millions of machines are attacked first.",
        defence="From a date announced before, their owners finish a sign-in only with a second step, and cannot "
        "remove their last one.",
        tested_in="tests/mandates/test_enforcement.py",
    ),
    Threat(
        title="A copy of the database",
        attack="A backup or a dump falls into other hands.",
        defence="Passwords are hashed with Argon2id; tokens and codes are digests; what must be readable is sealed "
        "with keys that lie outside the database.",
        tested_in="tests/core/test_crypto.py",
    ),
]
