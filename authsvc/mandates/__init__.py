"""Who must have a second factor, because so many depend on their packages. Owns packages, ownership and mandates.

Whether a mandate follows, and what meets it, is `policy.mandate`'s affair; `login` enforces it.

Verbs: in_force (what a sign-in must meet), lack (what a session or grant lacks for its rights), counts_from (when what
is enrolled is senior enough), upcoming (in force, or still to come), ahead (the next that is not met), state (for
registries), rehearsal (asked for in a brown-out), has_mandate, owns_packages, is_owner and is_covered (as conditions
of queries), may_keep_only (may the others go?), co_owners (who maintains a package as well), packages (what somebody
maintains), require (by hand), link_account (a name registered), put_package and put_maintainers (pushed by a registry;
package, ownership and package_name read what it sent); packages_and_invitations (as their owner sees them), invitation
(one), accept, decline, may_answer, take_back (after a freeze) and in_mails (how mails name a package); apply,
tell_invited, tidy_imports and carry_out_proposals (the worker's tasks); exempt, current_exemption, end_exemption and
standing_exemptions; of two people of the service may_exempt, is_alone, check_end, propose_exemption, decide_exemption,
exemption_proposal, exemption_proposals, check_phase, second_person, propose_phase, decide_phase, phase_proposal and
phase_proposals; plan, what_if (a phase were another one), preview (of another day), report, stopped and people (whom
it stops), adoption and its picture, trend; current_phases, phase, change_phases, phase_history, file_decides, of_rule
and to_rule; and the operators' commands `impact` and `mandates`.
"""

from authsvc.mandates.accepting import (
    Packages,
    accept,
    decline,
    in_mails,
    invitation,
    may_answer,
    packages_and_invitations,
    take_back,
    tell_invited,
)
from authsvc.mandates.co_owners import CoOwners, co_owners, packages
from authsvc.mandates.commands import GROUPS as commands
from authsvc.mandates.counting import Person
from authsvc.mandates.exemptions import current as current_exemption
from authsvc.mandates.exemptions import end as end_exemption
from authsvc.mandates.exemptions import exempt
from authsvc.mandates.exemptions import standing as standing_exemptions
from authsvc.mandates.figures import (
    STRENGTH_WORDS,
    PhaseFigures,
    WhatIf,
    adoption,
    people,
    plan,
    report,
    stopped,
    what_if,
)
from authsvc.mandates.figures import DayFigures as AdoptionDay
from authsvc.mandates.for_staff import (
    LONGEST,
    carry_out_proposals,
    check_end,
    decide_exemption,
    exemption_proposal,
    exemption_proposals,
    may_exempt,
    preview,
    propose_exemption,
    trend,
)
from authsvc.mandates.impact import Maintained, figures_in_words
from authsvc.mandates.phase_changes import (
    PhaseProposal,
    check_phase,
    decide_phase,
    phase_proposal,
    phase_proposals,
    propose_phase,
    second_person,
)
from authsvc.mandates.phases import BadPhases, FileDecides, file_decides, of_rule, to_rule
from authsvc.mandates.phases import Change as PhaseChange
from authsvc.mandates.phases import change as change_phases
from authsvc.mandates.phases import current as current_phases
from authsvc.mandates.phases import history as phase_history
from authsvc.mandates.phases import one as phase
from authsvc.mandates.proposals import is_alone
from authsvc.mandates.pushing import Pushed, put_maintainers, put_package
from authsvc.mandates.reading import OwnershipLine, PackageLine, ownership, package, package_name
from authsvc.mandates.service import (
    ahead,
    apply,
    counts_from,
    has_mandate,
    in_force,
    is_covered,
    is_owner,
    lack,
    link_account,
    may_keep_only,
    owns_packages,
    rehearsal,
    require,
    state,
    upcoming,
)
from authsvc.mandates.snapshots import Running
from authsvc.mandates.snapshots import tidy as tidy_imports

__all__ = [
    "LONGEST",
    "STRENGTH_WORDS",
    "AdoptionDay",
    "BadPhases",
    "CoOwners",
    "FileDecides",
    "Maintained",
    "OwnershipLine",
    "PackageLine",
    "Packages",
    "Person",
    "PhaseChange",
    "PhaseFigures",
    "PhaseProposal",
    "Pushed",
    "Running",
    "WhatIf",
    "accept",
    "adoption",
    "ahead",
    "apply",
    "carry_out_proposals",
    "change_phases",
    "check_end",
    "check_phase",
    "co_owners",
    "commands",
    "counts_from",
    "current_exemption",
    "current_phases",
    "decide_exemption",
    "decide_phase",
    "decline",
    "end_exemption",
    "exempt",
    "exemption_proposal",
    "exemption_proposals",
    "figures_in_words",
    "file_decides",
    "has_mandate",
    "in_force",
    "in_mails",
    "invitation",
    "is_alone",
    "is_covered",
    "is_owner",
    "lack",
    "link_account",
    "may_answer",
    "may_exempt",
    "may_keep_only",
    "of_rule",
    "ownership",
    "owns_packages",
    "package",
    "package_name",
    "packages",
    "packages_and_invitations",
    "people",
    "phase",
    "phase_history",
    "phase_proposal",
    "phase_proposals",
    "plan",
    "preview",
    "propose_exemption",
    "propose_phase",
    "put_maintainers",
    "put_package",
    "rehearsal",
    "report",
    "require",
    "second_person",
    "standing_exemptions",
    "state",
    "stopped",
    "take_back",
    "tell_invited",
    "tidy_imports",
    "to_rule",
    "trend",
    "upcoming",
    "what_if",
]
