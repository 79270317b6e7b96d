// The bar with what can be done, its keys, and saving and loading people.csv.
const bar = document.getElementById("correct-bar");
const mostFileBytes = 64 << 20;

const byId = (id) => document.getElementById(id);
const say = (words) => { byId("correct-status").textContent = [words, storageTrouble].filter(Boolean).join(" "); };

// The name of a group in its heading, and the button to correct it.
function fillHeading(state, group, heading) {
  const title = heading.querySelector(".group-title");
  title.textContent = titleOf(state, group);
  if (!correctable) return;
  const changed = isChanged(state, group), named = state.names.has(group);
  // What was computed is not true of other faces.
  for (const facts of heading.parentElement?.querySelectorAll(".computed") ?? []) facts.hidden = changed;
  let note = heading.querySelector(".corrected");
  if (!note && (changed || named)) heading.insertBefore(note = element("span", { className: "corrected" }), heading.querySelector(".group-tools"));
  if (note) {
    const was = named && group < state.base.groups ? computedName(group).toLowerCase() : "";
    const count = heading.querySelector(".facts") ? "" : `${counted(membersOf(state, group).length, "face")}, `;
    const size = changed ? `${count}corrected` : "";
    note.textContent = [was, size].filter(Boolean).join(", ");
  }
  let tools = heading.querySelector(".group-tools");
  if (!tools) heading.append(tools = element("span", { className: "group-tools" }));
  if (!tools.querySelector(".correct-group")) tools.append(button("Correct", () => openGroupDialog(group), { className: "correct-group" }));
  tools.querySelector(".correct-group").ariaLabel = `Correct ${titleOf(state, group)}`;
}

function showChosen() {
  const faces = [...chosenFaces], groups = new Set(faces.map((face) => groupOfFace(work.state, face)));
  byId("chosen-count").textContent = faces.length ? `${counted(faces.length, "face")} chosen` : "Choose faces";
  bar.classList.toggle("none-chosen", !faces.length);
  for (const tool of bar.querySelectorAll("[data-needs]")) tool.disabled = !faces.length || (tool.dataset.needs === "one" && groups.size !== 1);
  byId("do-together").textContent = groups.size > 1 ? "Join as one group" : "Split off";
}

function showSummary() {
  const { groups, named, hidden } = counts(work.state);
  const parts = [`${counted(groups, "group")} of two faces and more`, `${named.toLocaleString("en")} named`];
  if (hidden) parts.push(`${hidden.toLocaleString("en")} hidden`);
  const corrected = work.done.length || work.begin.length;
  byId("correct-summary").textContent = corrected ? `With your corrections: ${parts.join(", ")}. Other figures are of the computed groups.` : "";
  byId("do-undo").disabled = !work.done.length;
  byId("do-redo").disabled = !work.undone.length;
  byId("do-hidden").hidden = !work.state.hidden.size;
  const away = work.state.kept.filter(isHiding).length; // a report that was made with a file has no hidden faces
  byId("do-unhide").hidden = !away;
  byId("do-unhide").textContent = `Show ${counted(away, "hidden face")} in the next report`;
  byId("do-hidden").textContent = document.documentElement.classList.contains("all-shown") ? "Leave out hidden" : "Show hidden";
}

// The faces move in the page, and with them the focus would be lost.
function refreshPage(words, before) {
  const focused = document.activeElement?.closest?.("#groups a[data-face]");
  const group = focused && groupOfFace(before, faceOf(focused)), links = focused ? shownLinks() : [];
  const near = focused && links.slice(links.indexOf(focused)).concat(links.slice(0, links.indexOf(focused)).reverse()).map(faceOf);
  chosenFaces.clear();
  lastChosen = null;
  correctable.refresh(work.state, changedGroups(before, work.state));
  markAll();
  showChosen();
  showSummary();
  say(words);
  if (!focused) return;
  const next = near.find((face) => groupOfFace(work.state, face) === group) ?? near[0];
  const link = correctable.figure(next)?.querySelector("a");
  if (link?.offsetParent) link.focus();
}

function setCorrecting(on) {
  document.documentElement.classList.toggle("correcting", on);
  bar.hidden = !on;
  byId("correct").textContent = on ? "Done" : "Correct groups";
  if (!on) chooseNone();
  markAll();
  showChosen();
  if (on) say(work.done.length ? "" : "Choose faces, or press Correct at a group. Nothing is sent anywhere.");
}

function toggleHidden() {
  document.documentElement.classList.toggle("all-shown");
  correctable.refresh(work.state, new Set([...work.state.hidden].map((face) => groupOfFace(work.state, face))));
  markAll();
  showSummary();
}

const chosenList = () => [...chosenFaces].sort((one, other) => one - other);
const theGroup = () => groupOfFace(work.state, chosenList()[0]);

const deeds = {
  together() {
    const faces = chosenList(), plan = togetherSteps(work.state, faces);
    if (plan.steps.length) carryOut(plan, (list) => `${facesWords(faces)} in one group now: ${finalName(list, plan.to)}.`);
    else say("These faces are one group already.");
  },
  moveTo() {
    const faces = chosenList();
    chooseGroup(`Move ${facesWords(faces)} to`, faces, (to) => moveTo(faces, to));
  },
  alone() {
    const faces = chosenList(), list = aloneSteps(work.state, faces);
    if (list.length) commit(list, `${facesWords(faces)} taken out: alone now.`);
    else say("These faces are alone already.");
  },
  edit: () => openGroupDialog(theGroup()),
  nearest: () => openNearest(chosenList()[0]),
  none: chooseNone,
  undo, redo,
  save: savePeople,
  load: () => byId("people-file").click(),
  hidden: toggleHidden,
  unhide: () => commit([{ do: "unhide" }], "Faces that the file hides will be in the report that is made with the saved file."),
  help: () => byId("correct-help").showModal(),
  done() {
    setCorrecting(false);
    byId("correct").focus();
  },
};

async function savePeople() {
  let text;
  try {
    text = await peopleText(work.state);
  } catch {
    say("The files beside this page cannot be read, so nothing was saved. Keep the folder beside the page.");
    return;
  }
  const rows = text.split("\n").length - 2;
  if (!rows) {
    say("There is nothing to save yet.");
    return;
  }
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: "people.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  say(`people.csv: ${counted(rows, "row")}.`);
}

// Joins the corrections in the file with those of the page. Whether it could be used.
async function loadPeople(file) {
  try {
    if (file.size > mostFileBytes) throw new Error("it is larger than 64 MiB");
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    const rows = readPeople(text, data.people.columns);
    const { statements, missing } = await statementsIn(rows);
    const { state } = work;
    const { steps: list, contradictions } = stepsFrom(state.base, [...saidIn(state), ...statements]);
    const kept = [...new Map([...state.kept, ...missing].map((row) => [row.join("\0"), row])).values()];
    const parts = [`${file.name}: ${counted(rows.length, "row")}.`];
    if (missing.length) parts.push(`${counted(missing.length, "row")} about faces that are not on this page: kept when you save.`);
    if (contradictions) parts.push(`${counted(contradictions, "row")} contradict what was said before: left out.`);
    commit([{ do: "reset" }, ...list, ...(kept.length ? [{ do: "keep", rows: kept }] : [])], parts.join(" "));
    return true;
  } catch (error) {
    const reason = error instanceof TypeError ? "it is not UTF-8 text" : error.message;
    say(`${file.name} cannot be used: ${reason}.`);
    return false;
  }
}

const keys = { n: "together", m: "moveTo", o: "alone", e: "edit", i: "nearest", s: "save", "?": "help" };

function onCorrectKey(event) {
  if (!isCorrecting() || event.target.closest("input, dialog") || event.altKey) return;
  const letter = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) {
    if (letter === "z" || letter === "y") {
      event.preventDefault();
      (letter === "y" || event.shiftKey ? redo : undo)();
    }
    return;
  }
  const link = event.target.closest("#groups a[data-face]");
  if (event.key === "Escape") chooseNone();
  else if (letter === "a" && link) toggleGroup(groupOfFace(work.state, faceOf(link)));
  else if (keys[letter]) {
    if (!["save", "help"].includes(keys[letter])) {
      if (!chosenFaces.size && link) setChosen([faceOf(link)], true);
      if (!chosenFaces.size) return;
    }
    deeds[keys[letter]]();
  } else return;
  event.preventDefault();
}

if (correctable) {
  const { statements, kept } = data.people;
  const begin = stepsFrom(correctable.base, statements).steps;
  openHistory(kept.length ? [...begin, { do: "keep", rows: kept }] : begin);
  listeners.push(refreshPage);
  correctable.refresh(work.state, changedGroups(uncorrected(correctable.base), work.state));
  for (const heading of groupsSection.querySelectorAll("[data-group] > h3")) fillHeading(work.state, Number(heading.parentElement.dataset.group), heading);
  markAll();
  showSummary();
  if (work.done.length) byId("correct-summary").append(" They are kept in this browser; save them as people.csv.");
  offerEarlier(byId("correct-earlier"));
  byId("correct").addEventListener("click", () => setCorrecting(!isCorrecting()));
  for (const tool of bar.querySelectorAll("[data-do]")) tool.addEventListener("click", () => deeds[tool.dataset.do]());
  byId("people-file").addEventListener("change", ({ target }) => {
    if (target.files[0]) loadPeople(target.files[0]);
    target.value = ""; // the same file can be chosen again
  });
  document.addEventListener("keydown", onCorrectKey);
}
