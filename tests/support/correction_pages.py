"""Drives the corrections of a report in a browser, and applies what they say."""

from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome
from selenium.webdriver.remote.webelement import WebElement

from shared.analysis.people_groups import PeopleGroups, group_people
from shared.results.people_file import read_people
from shared.results.reader import Results
from tests.support.stage import wait_until

Partition = set[frozenset[str]]

# Faces are named by their row in faces.csv, which both pages have in their records.
_GROUPS = """
const done = arguments[0];
(async () => {
  const rows = [];
  for (let part = 0; part < recordParts(); part++) rows.push(...(await correctable.records(part)).rows);
  const groups = new Map();
  rows.forEach((row, face) => {
    const group = groupOfFace(work.state, face);
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(row);
  });
  done([...groups].map(([group, faces]) => [work.state.names.get(group) ?? "", faces]));
})();
"""


def groups_of_page(page: Chrome) -> dict[frozenset[int], str]:
    """The name of each group of the page's faces, as they are corrected."""
    return {frozenset(faces): name for name, faces in page.execute_async_script(_GROUPS)}


def text_of(page: Chrome) -> str:
    """What the page would save as people.csv."""
    return str(page.execute_async_script("peopleText(work.state).then(arguments[0])"))


def apply(folder: Path, file: Path, threshold: float) -> tuple[dict[frozenset[int], str], PeopleGroups]:
    """The groups of a job with a people.csv: faces by row, with their names."""
    results = Results(folder)
    found = group_people(folder, read_people(file), results.distances.embeddings, results.neighbors, threshold)
    return {frozenset(faces.tolist()): found.person_of(int(faces[0])) for faces in found.members()}, found


def press(page: Chrome, do: str) -> None:
    """Presses a button of the bar."""
    page.find_element("css selector", f"#correct-bar [data-do={do}]").click()


def choose(page: Chrome, *faces: int) -> None:
    """Clicks on faces."""
    for face in faces:
        link = page.find_element("css selector", f"#groups [data-face='{face}']")
        page.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", link)
        link.click()


def status(page: Chrome) -> str:
    """What the page has said last."""
    return page.find_element("id", "correct-status").text


def block(page: Chrome, group: int) -> WebElement:
    """The group with this number, counted from 0."""
    return page.find_element("css selector", f"#groups [data-group='{group}']")


def open_group(page: Chrome, group: int) -> None:
    """Opens the dialog of a group."""
    button = block(page, group).find_element("css selector", ".correct-group")
    page.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", button)
    button.click()


def rename(page: Chrome, group: int, name: str) -> None:
    """Gives a group a name."""
    open_group(page, group)
    field = page.find_element("id", "person-name")
    field.clear()
    field.send_keys(name)
    field.submit()


def answers(page: Chrome) -> list[str]:
    """The answers to the question that is asked."""
    dialog = page.find_element("id", "ask-dialog")
    wait_until(dialog.is_displayed, 5, "a question")
    return [button.text for button in dialog.find_elements("css selector", "button")]


def answer(page: Chrome, words: str) -> None:
    """Gives one of them."""
    at = answers(page).index(words)
    page.find_elements("css selector", "#ask-dialog button")[at].click()


def choices(page: Chrome) -> list[str]:
    """The entries of the list in the open dialog."""
    return [entry.text for entry in page.find_elements("css selector", "#correct-dialog .choices li")]


def candidates(page: Chrome, group: int, most: int = 8) -> list[dict[str, Any]]:
    """The faces that are offered for a group."""
    script = "nearGroups(work.state, membersOf(work.state, arguments[0]), arguments[1]).then(arguments[2])"
    return list(page.execute_async_script(script, group, most))
