"""Completion for bash, zsh and fish: a script made from the command line's own parser.

The script knows words, options, the choices of each, and where a file stands. It runs nothing while it completes.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True)
class Argument:
    """One option or one place of a word."""

    options: tuple[str, ...]
    """``-o``, ``--output``; empty for a place."""
    help: str
    choices: tuple[str, ...] = ()
    takes: str = ""
    """What follows: ``file``, ``choice``, ``value``, or nothing for a flag."""
    many: bool = False


@dataclass(frozen=True)
class Command:
    """One word of the command."""

    name: str
    help: str
    options: tuple[Argument, ...]
    places: tuple[Argument, ...]


def commands(whole: argparse.ArgumentParser, known: Mapping[str, Mapping[str, Sequence[str]]]) -> list[Command]:
    """Every word of a parser; `known` adds choices that no parser declares, by word and argument."""
    found = []
    for action in whole._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
        for name, parser in action.choices.items():
            arguments = [
                _argument(each, known.get(name, {})) for each in parser._actions if each.help != argparse.SUPPRESS
            ]
            options = tuple(argument for argument in arguments if argument.options)
            places = tuple(argument for argument in arguments if not argument.options)
            found.append(Command(name, helps.get(name, ""), options, places))
    return found


def _argument(action: argparse.Action, known: Mapping[str, Sequence[str]]) -> Argument:
    choices = tuple(str(choice) for choice in action.choices or known.get(action.dest, ()))
    takes = "" if action.nargs == 0 else "choice" if choices else "file" if _is_file(action) else "value"
    return Argument(tuple(action.option_strings), _help(action), choices, takes, action.nargs in ("+", "*"))


_FILES = frozenset({"spec", "output", "model", "plan", "store", "state"})
"""Options that name a file: parsers have no type for it."""


def _is_file(action: argparse.Action) -> bool:
    """A place without choices, or an option called as a file is; not what is written ``PATH=VALUE``."""
    if action.type is not None or "=" in str(action.metavar or ""):
        return False
    return not action.option_strings or action.dest in _FILES or str(action.metavar) == "FILE"


def _help(action: argparse.Action) -> str:
    text = (action.help or "").replace("%%", "%")
    return " ".join(text.split())


def script(shell: str, whole: argparse.ArgumentParser, known: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    """The script of one of `SHELLS`."""
    found = commands(whole, known)
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](found)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# bash


def _bash(found: Sequence[Command]) -> str:
    names = " ".join(command.name for command in found)
    cases = "\n".join(_bash_case(command) for command in found)
    return f"""# pgx completion for bash. Load it with:  source <(pgx completion bash)
# or keep it:  pgx completion bash > ~/.local/share/bash-completion/completions/pgx
_pgx() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} word=${{COMP_WORDS[1]}}
    COMPREPLY=()
    if [[ $COMP_CWORD -eq 1 ]]; then
        COMPREPLY=($(compgen -W {_quoted(f"{names} --help --version")} -- "$current"))
        return
    fi
    local options='' places='' files=''
    case $word in
{cases}
        *) return ;;
    esac
    if [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$current"))
        return
    fi
    [[ -n $places ]] && COMPREPLY=($(compgen -W "$places" -- "$current"))
    [[ -n $files ]] && COMPREPLY+=($(compgen -f -- "$current"))
    return 0
}}
complete -o filenames -F _pgx pgx
"""


def _bash_case(command: Command) -> str:
    lines = [f"        {command.name})", "            case $previous in"]
    lines += [
        f"                {'|'.join(option.options)}) {_bash_value(option)}; return ;;"
        for option in command.options
        if option.takes
    ]
    lines += [
        "            esac",
        f"            options={_quoted(' '.join(o for a in command.options for o in a.options))}",
    ]
    choices = [choice for place in command.places for choice in place.choices]
    if choices:
        lines.append(f"            places={_quoted(' '.join(choices))}")
    if any(place.takes == "file" for place in command.places):
        lines.append("            files=yes")
    return "\n".join([*lines, "            ;;"])


def _bash_value(option: Argument) -> str:
    if option.choices:
        return f'COMPREPLY=($(compgen -W {_quoted(" ".join(option.choices))} -- "$current"))'
    return 'COMPREPLY=($(compgen -f -- "$current"))' if option.takes == "file" else "COMPREPLY=()"


# zsh


def _zsh(found: Sequence[Command]) -> str:
    described = "\n".join(f"        {_quoted(f'{c.name}:{_zsh_help(c.help)}')}" for c in found)
    cases = "\n".join(_zsh_case(command) for command in found)
    return f"""#compdef pgx
# pgx completion for zsh. Keep it as a file called _pgx in a folder of $fpath:  pgx completion zsh > ~/.zfunc/_pgx
_pgx() {{
    local -a words_of_pgx
    words_of_pgx=(
{described}
    )
    if (( CURRENT == 2 )); then
        _describe 'word' words_of_pgx
        return
    fi
    local word=$words[2]
    shift words
    (( CURRENT-- ))
    case $word in
{cases}
    esac
}}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _pgx "$@"
else
    compdef _pgx pgx
fi
"""


def _zsh_case(command: Command) -> str:
    arguments = []
    for option in command.options:
        exclusive = f"({' '.join(option.options)})" if len(option.options) > 1 else ""
        value = f":{_zsh_help(option.options[-1].lstrip('-'))}:{_zsh_values(option)}" if option.takes else ""
        arguments += [_quoted(f"{exclusive}{name}[{_zsh_help(option.help)}]{value}") for name in option.options]
    for number, place in enumerate(command.places, 1):
        where = "*" if place.many else str(number)
        arguments.append(_quoted(f"{where}:{_zsh_help(place.help) or 'argument'}:{_zsh_values(place)}"))
    joined = " \\\n                ".join(arguments)
    return f"        {command.name})\n            _arguments \\\n                {joined}\n            ;;"


def _zsh_values(argument: Argument) -> str:
    if argument.choices:
        return f"({' '.join(argument.choices)})"
    return "_files" if argument.takes == "file" else " "


def _zsh_help(text: str) -> str:
    return re.sub(r"([\[\]:\\])", r"\\\1", text)


# fish


def _fish(found: Sequence[Command]) -> str:
    lines = [
        "# pgx completion for fish. Keep it:  pgx completion fish > ~/.config/fish/completions/pgx.fish",
        "complete -c pgx -f",
        "complete -c pgx -n __fish_use_subcommand -l help -d 'show help'",
        "complete -c pgx -n __fish_use_subcommand -l version -d 'show the version'",
    ]
    lines += [
        f"complete -c pgx -n __fish_use_subcommand -a {command.name} -d {_fish_quoted(command.help)}"
        for command in found
    ]
    for command in found:
        seen = f"-n '__fish_seen_subcommand_from {command.name}'"
        for option in command.options:
            flags = " ".join(f"-{'l' if name.startswith('--') else 's'} {name.lstrip('-')}" for name in option.options)
            lines.append(f"complete -c pgx {seen} {flags}{_fish_values(option)} -d {_fish_quoted(option.help)}")
        for place in command.places:
            if place.choices:
                lines.append(f"complete -c pgx {seen} -a {_fish_quoted(' '.join(place.choices))}")
            elif place.takes == "file":
                lines.append(f"complete -c pgx {seen} -F")
    return "\n".join(lines) + "\n"


def _fish_values(option: Argument) -> str:
    if option.choices:
        return f" -x -a {_fish_quoted(' '.join(option.choices))}"
    return {"file": " -r -F", "value": " -x"}.get(option.takes, "")


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
