"""``pgx trust``: what this person lets a model file do beyond what is allowed to all."""

import argparse
from typing import TYPE_CHECKING, Any

from pgx_compiler.words import AUTHOR, PASSED, answer, answer_json, say

if TYPE_CHECKING:
    from pgx_compiler.trust.ledger import Grant

HELP = "trust one model file, by its digest, for one power, with a reason and an end; list and revoke what is trusted"
FORMATS = ("text", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the word's own arguments."""
    parser.add_argument("do", choices=("add", "list", "revoke"), help="grant, show, or take back")
    parser.add_argument("digest", nargs="?", help="SHA-256 of the model's file, as a refusal of `pgx check` names it")
    parser.add_argument(
        "--for",
        dest="power",
        metavar="POWER",
        help="custom-objects, lambda, savedmodel-op:NAME or onnx-domain:NAME (add; revoke: only this one)",
    )
    parser.add_argument("--reason", metavar="TEXT", help="why it may; shown in every factsheet that rests on it (add)")
    parser.add_argument("--expires", metavar="DATE", help="the last day on which it holds, YYYY-MM-DD (add)")
    parser.add_argument(
        "--module",
        dest="modules",
        metavar="NAME",
        action="append",
        default=[],
        help="installed module that brings the custom objects; its code is hashed now, and a change ends the trust (add)",
    )
    parser.add_argument("--by", metavar="WHO", help="who answers for it (add; default: the name you are logged in by)")


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    return {"add": _add, "list": _list, "revoke": _revoke}[options.do](options)


def _add(options: argparse.Namespace) -> int:
    from pgx_compiler.trust.code import NoModuleError, code_digest
    from pgx_compiler.trust.ledger import add_grant, bad_grant, new_grant

    for name in ("digest", "power", "reason", "expires"):
        if not getattr(options, name):
            wanted = name if name == "digest" else f"--{'for' if name == 'power' else name}"
            raise bad_grant(f"`pgx trust add` lacks {wanted}", _USAGE)
    of_code = options.power == "custom-objects"
    if of_code != bool(options.modules):
        said = "custom objects come from an installed module" if of_code else f"`{options.power}` needs no module"
        raise bad_grant(said, "name it with --module" if of_code else "leave --module out")
    try:
        modules = {name: code_digest(name) for name in options.modules}
    except NoModuleError as error:
        raise bad_grant(str(error), "install it beside pgx, then name its top-level module") from error
    given = (options.digest, options.power, options.reason, options.expires, options.by or _login())
    grant = add_grant(new_grant(*given, modules))
    if options.format == "json":
        answer_json(grant.plain)
    else:
        answer(f"trusted {grant.sha256} for {grant.power} until {grant.expires}")
        say("It lifts one refusal; the sandbox stays, and every factsheet that rests on it says so.")
    return PASSED


_USAGE = "pgx trust add DIGEST --for POWER --reason TEXT --expires YYYY-MM-DD"


def _list(options: argparse.Namespace) -> int:
    from pgx_compiler.trust.ledger import read_grants, trust_path

    grants = read_grants()
    if options.format == "json":
        answer_json([{**one.plain, "expired": one.is_over()} for one in grants])
        return PASSED
    if not grants:
        say(f"nothing is trusted ({trust_path()})")
    for one in grants:
        answer("  ".join(_shown(one)))
    return PASSED


def _shown(grant: "Grant") -> list[str]:
    end = f"expired {grant.expires}" if grant.is_over() else f"until {grant.expires}"
    modules = [f"from {', '.join(grant.modules)}"] if grant.modules else []
    return [grant.sha256, str(grant.power), *modules, end, f"by {grant.by}", grant.reason]


def _revoke(options: argparse.Namespace) -> int:
    from pgx_compiler.trust.ledger import bad_grant, revoke
    from pgx_compiler.trust.power import NoPowerError, Power

    if not options.digest:
        raise bad_grant("`pgx trust revoke` lacks the digest", "`pgx trust list` shows what is trusted")
    try:
        power = Power.parse(options.power) if options.power else None
    except NoPowerError as error:
        raise bad_grant(str(error), "leave --for out to take back everything of this file") from error
    taken = revoke(options.digest.lower().removeprefix("sha256:"), power)
    if options.format == "json":
        answer_json([one.plain for one in taken])
    elif not taken:
        say("nothing of it was trusted; `pgx trust list` shows what is")
    else:
        answer("\n".join(f"no longer trusted: {one.sha256} for {one.power}" for one in taken))
    return PASSED if taken else AUTHOR


def _login() -> Any:
    import getpass
    import os

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no name for this number
        return f"user {os.geteuid()}"
