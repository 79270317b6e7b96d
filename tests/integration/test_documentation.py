"""The documents agree with the code: settings, commands, options, exit codes, columns, metrics, packages, links."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from producer.cli.app import cli as producer_cli
from shared.config.exit_codes import ExitCode
from shared.config.settings import Settings
from shared.domain.outcomes import FAILED, Outcome
from shared.results.schema import (
    DIGEST_COLUMNS,
    FACE_COLUMNS,
    FAILED_COLUMNS,
    GROUP_COLUMNS,
    IMAGE_COLUMNS,
    SAMPLE_COLUMNS,
)
from tests.support.manifests import variable_of
from tests.support.stage import ROOT
from worker.__main__ import cli as worker_cli

DOCS = ROOT / "docs"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")])


def _rows(path: Path, section: str = "") -> list[list[str]]:
    """The cells of every row of every table, without the lines under the headings. `section` is a heading."""
    text = path.read_text().partition(f"\n{section}\n")[2].partition("\n## ")[0] if section else path.read_text()
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def _commands() -> dict[str, Any]:
    """Every command of both command lines, as a user types it."""
    producer = typer.main.get_command(producer_cli)
    worker = typer.main.get_command(worker_cli)
    return (
        {f"python -m producer {name}": command for name, command in producer.commands.items()}
        | {"python -m worker": worker}
        | {f"python -m worker {name}": command for name, command in worker.commands.items()}
    )


def _options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts if option.startswith("-")}


def _documented_command(cell: str) -> str:
    """`python -m producer watch JOB` -> the command without its arguments."""
    words = cell.strip("`").split()
    return " ".join(word for word in words if not word.isupper())


def test_every_setting_is_documented_with_its_default() -> None:
    """docs/settings.md has exactly the settings of the class, and their defaults."""
    rows = {row[0].strip("`"): row[1] for row in _rows(DOCS / "settings.md") if re.fullmatch(r"`[A-Z_]+`", row[0])}
    names = {name: variable_of(name) for name in Settings.model_fields}
    assert set(rows) == set(names.values())
    derived = {"log_dir": "`workers` in `FACEQUEUE_STATE_DIR`"}
    for name, field in Settings.model_fields.items():
        if name in derived:
            assert rows[names[name]] == derived[name], name
        elif isinstance(field.default, Path):
            if not field.default.is_absolute():  # others are the user's own folders
                assert rows[names[name]] == f"`{field.default}`", name
        else:
            assert rows[names[name]] == ("none" if field.default in (None, "") else f"`{field.default}`"), name


def test_every_variable_of_the_env_example_has_an_effect() -> None:
    """Each is a setting, a variable of a compose file, or Compose's own."""
    variables = re.findall(r"^# ([A-Z_]+)=", (ROOT / ".env.example").read_text(), flags=re.M)
    settings = set(map(variable_of, Settings.model_fields))
    compose = "".join(path.read_text() for path in ROOT.glob("docker-compose*.yml"))
    assert variables
    for name in variables:
        assert name in settings | {"COMPOSE_FILE"} or f"${{{name}:" in compose, name


def test_every_command_is_documented() -> None:
    """docs/cli.md has a row for every command of both command lines, and for no other."""
    documented = [_documented_command(row[0]) for row in _rows(DOCS / "cli.md") if row[0].startswith("`python -m ")]
    assert sorted(documented) == sorted(_commands())


def test_documented_options_exist() -> None:
    """A command's row in docs/cli.md names only options that the command has."""
    commands = _commands()
    for row in _rows(DOCS / "cli.md"):
        if row[0].startswith("`python -m "):
            named = set(re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", row[1]))
            assert named <= _options(commands[_documented_command(row[0])]), row[0]


def test_options_of_a_job_are_documented_with_their_defaults() -> None:
    """docs/cli.md lists every option that `run` and `enqueue` share, with the default that both have."""
    commands = _commands()
    parameters = {
        parameter.opts[0]: parameter
        for parameter in commands["python -m producer run"].params
        if parameter.opts[0] in _options(commands["python -m producer enqueue"])
    }
    section = (DOCS / "cli.md").read_text().partition("\n## Options of a job\n")[2].partition("\n`run` also takes")[0]
    rows = dict(re.findall(r"^\| `(--[a-z-]+)` \| `?([^`|]+?)`? \|", section, flags=re.M))
    assert set(rows) == set(parameters)
    for option, parameter in parameters.items():
        if parameter.default is None:  # `--help` says where the value comes from
            continue
        expected = "off" if parameter.default is False else str(parameter.default)
        assert rows[option] == expected, option


def test_every_option_is_documented() -> None:
    """docs/cli.md has every option that `--help` shows: in its command's row, or in a table that names the command."""
    job = (DOCS / "cli.md").read_text().partition("\n## Options of a job\n")[2].partition("\n## ")[0]
    shared, _, rest = job.partition("\n`run` also takes")
    of_run, _, of_enqueue = rest.partition("\n`enqueue` also takes")
    elsewhere = {"run": shared + of_run, "enqueue": shared + of_enqueue}
    for option, commands, *_ in _rows(DOCS / "cli.md", "## Options of commands that read results"):
        for command in ("report", "neighbors", "groups", "export"):
            if commands == "all" or f"`{command}`" in commands:
                elsewhere[command] = elsewhere.get(command, "") + option
    serving = "`flower`, `metrics` and `page` take `--port` and `--address`"
    assert serving in (DOCS / "cli.md").read_text()
    elsewhere |= dict.fromkeys(("flower", "metrics", "page"), serving)
    documented = {_documented_command(row[0]): row[1] for row in _rows(DOCS / "cli.md") if row[0].startswith("`python")}
    for name, command in _commands().items():
        text = documented[name] + elsewhere.get(name.removeprefix("python -m producer "), "")
        shown = {
            option
            for parameter in command.params
            for option in parameter.opts
            if option.startswith("--") and not parameter.hidden
        }
        assert shown - {"--help"} <= set(re.findall(r"--[a-z][a-z0-9-]*", text)), name


def test_every_metric_is_documented() -> None:
    """docs/monitoring.md lists the metrics of the exporter, no more and no less."""
    code = (ROOT / "producer/monitoring/prometheus.py").read_text()
    names = set(re.findall(r'MetricFamily\(\s*"(\w+)"', code))
    rows = {row[0].strip("`") for row in _rows(DOCS / "monitoring.md", "## Metrics")[1:]}
    assert names == {name.removesuffix("_total") for name in rows}


def test_every_exit_code_is_documented() -> None:
    """docs/cli.md lists the codes of the command line, and each row says what the code means."""
    codes = {int(row[0]): row[1] for row in _rows(DOCS / "cli.md") if row[0].isdigit()}
    assert set(codes) == set(ExitCode)
    for code, words in (
        (ExitCode.FINISHED, "Finished"),
        (ExitCode.WRONG_USAGE, "Wrong usage"),
        (ExitCode.SOME_FAILED, "some images failed"),
        (ExitCode.NOT_FINISHED, "Not finished"),
    ):
        assert words in codes[code], code
    for outcome in set(Outcome) - FAILED:
        assert f"`{outcome}`" in codes[ExitCode.FINISHED], outcome


def test_every_outcome_is_documented() -> None:
    """docs/results.md lists the outcomes, and which of them count as failed."""
    rows = {row[0].strip("`"): row[-1] for row in _rows(DOCS / "results.md") if row[-1] in ("yes", "no")}
    assert rows == {outcome.value: "yes" if outcome in FAILED else "no" for outcome in Outcome}


def test_every_action_of_the_log_is_documented() -> None:
    """docs/monitoring.md lists the actions of the code, no more and no less, in order."""
    code = [path.read_text() for part in ("worker", "producer", "shared") for path in (ROOT / part).rglob("*.py")]
    actions = {action for text in code for action in re.findall(r'"action": "(\w+)"', text)}
    logs = (DOCS / "monitoring.md").read_text().partition("## Logs")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", logs, re.MULTILINE) == sorted(actions)


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("faces.csv", FACE_COLUMNS),
        ("images.csv", IMAGE_COLUMNS),
        ("digests.csv", DIGEST_COLUMNS),
        ("groups.csv", GROUP_COLUMNS),
        ("failed.csv", FAILED_COLUMNS),
        ("resources/<worker>.csv", SAMPLE_COLUMNS),
    ],
)
def test_columns_are_documented(table: str, columns: tuple[str, ...]) -> None:
    """docs/results.md lists the columns of each table in their order."""
    section = (DOCS / "results.md").read_text().split("## Columns")[1].split("\n## ")[0]
    row = next(line for line in section.splitlines() if line.startswith(f"| `{table}` |"))
    assert re.findall(r"`(\w+)`", row.split("|")[2]) == list(columns)


def _anchors(path: Path) -> set[str]:
    """GitHub's anchors of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_relative_links_lead_somewhere(document: Path) -> None:
    """Every relative link names a file that is there, and a heading in it."""
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name) if name else document
        assert target.exists(), link
        if anchor:
            assert anchor in _anchors(target), link


def test_architecture_says_of_every_package_what_its_docstring_says() -> None:
    """Its tree has the packages that are in the source folders, and no other, with the first line of each docstring."""
    tree = (DOCS / "architecture.md").read_text().split("## Packages")[1].split("```")[1]
    houses = ("producer", "shared", "worker")
    listed, house = {}, ""
    for line in tree.splitlines():
        if found := re.match(r"(\w+)/ +(.+)", line):
            house = found[1]
            listed[house] = found[2]
        elif found := re.match(r"  (\w+)/ +(.+)", line):
            listed[f"{house}/{found[1]}"] = found[2]
    documented = {name: f"{words[0].upper()}{words[1:]}." for name, words in listed.items() if name.startswith(houses)}
    there = {}
    for path in [path for house in houses for path in (ROOT / house).glob("**/__init__.py")]:
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        there[path.parent.relative_to(ROOT).as_posix()] = docstring.partition("\n")[0]
    assert documented == there


def test_messages_in_troubleshooting_are_those_of_the_code() -> None:
    """Every message that docs/troubleshooting.md quotes is in the code, part by part between the dots."""
    code = [path for house in ("producer", "shared", "worker") for path in (ROOT / house).rglob("*.py")]
    strings = (
        node for path in code for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)
    )
    said = "\n".join(node.value for node in strings if isinstance(node.value, str))
    quoted = [text for row in _rows(DOCS / "troubleshooting.md") for text in re.findall(r'"([^"]+)"', row[0])]
    assert len(quoted) > 10
    for text in quoted:
        assert all(part.strip() in said for part in text.split("...")), text


def test_every_decision_is_in_the_index() -> None:
    """docs/adr/README.md links each decision once, under its number and title. Each says whether it was accepted."""
    links = re.findall(r"^- \[(\d+\. .+)\]\((.+)\)$", (DOCS / "adr/README.md").read_text(), flags=re.M)
    files = {path.name: path.read_text().splitlines() for path in (DOCS / "adr").glob("0*.md")}
    assert sorted(links) == sorted((lines[0].removeprefix("# "), name) for name, lines in files.items())
    for name, lines in files.items():
        assert lines[2].startswith("Accepted."), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_paths_of_code_exist(document: Path) -> None:
    """Every `package/module.py` that a document names is there."""
    for name in re.findall(r"`((?:producer|shared|worker|benchmarks|tests)/[\w/.]+)`", document.read_text()):
        assert (ROOT / name).exists(), name


def test_readme_leads_to_every_document() -> None:
    """Every document can be reached by links from the README."""
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        document = waiting.pop()
        if document in reached:
            continue
        reached.add(document)
        for link in re.findall(r"\]\(([^)#\s]+)", document.read_text()):
            target = (document.parent / link).resolve()
            if target.suffix == ".md":
                waiting.append(target)
            elif target.is_dir():
                waiting += target.glob("*.md")
    assert set(DOCUMENTS) <= reached
