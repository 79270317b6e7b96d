// Which faces the reader has chosen to correct, by mouse, touch and keyboard.
const chosenFaces = new Set();
let lastChosen = null; // where a range begins
const groupsSection = document.getElementById("groups");
const isCorrecting = () => document.documentElement.classList.contains("correcting");
const faceOf = (link) => Number(link.dataset.face);

// Shows on the figure of a face whether it is chosen, hidden or named.
function markFace(state, figure, face) {
  if (!correctable || !figure) return figure;
  const link = figure.querySelector("a"), chosen = chosenFaces.has(face);
  figure.classList.toggle("chosen", chosen);
  figure.hidden = state.hidden.has(face) && !document.documentElement.classList.contains("all-shown");
  figure.classList.toggle("unseen", state.hidden.has(face));
  figure.classList.toggle("suggested", isSuggested(state, face));
  if (isCorrecting()) {
    link.setAttribute("role", "checkbox");
    link.setAttribute("aria-checked", String(chosen));
  } else {
    link.removeAttribute("role");
    link.removeAttribute("aria-checked");
  }
  const group = groupOfFace(state, face), name = isAlone(state, group) ? state.names.get(group) : undefined;
  const shown = figure.querySelector(".person");
  if (name && !shown) figure.querySelector("a").after(element("b", { className: "person" }, name));
  else if (name) shown.textContent = name;
  else shown?.remove();
  return figure;
}

const shownLinks = () => [...groupsSection.querySelectorAll("a[data-face]")].filter((link) => link.offsetParent !== null);

function markAll() {
  for (const link of groupsSection.querySelectorAll("a[data-face]")) markFace(work.state, link.closest("figure"), faceOf(link));
}

function setChosen(faces, chosen) {
  for (const face of faces) {
    if (chosen) chosenFaces.add(face);
    else chosenFaces.delete(face);
    markFace(work.state, correctable.figure(face), face);
  }
  showChosen();
}

function chooseNone() {
  setChosen([...chosenFaces], false);
  lastChosen = null;
}

// A face, or with `range` all faces between the last one and this.
function toggleFace(link, range) {
  const face = faceOf(link);
  const chosen = !chosenFaces.has(face);
  const links = range && lastChosen !== null ? shownLinks().map(faceOf) : [];
  const [from, to] = [links.indexOf(lastChosen), links.indexOf(face)];
  setChosen(from < 0 || to < 0 ? [face] : links.slice(Math.min(from, to), Math.max(from, to) + 1), chosen || from >= 0);
  lastChosen = face;
}

function toggleGroup(group) {
  const faces = membersOf(work.state, group);
  setChosen(faces, !faces.every((face) => chosenFaces.has(face)));
}

// The face beside another one, in the direction of an arrow key.
function linkBeside(link, key) {
  const links = shownLinks(), at = links.indexOf(link);
  const group = () => link.closest(".group, .alone, .group-page");
  if (key === "ArrowRight") return links[at + 1];
  if (key === "ArrowLeft") return links[at - 1];
  if (key === "Home") return links.find((other) => group().contains(other));
  if (key === "End") return links.findLast((other) => group().contains(other));
  if (key === "PageDown") return links.slice(at).find((other) => !group().contains(other));
  if (key === "PageUp") {
    const before = links.slice(0, at).findLast((other) => !group().contains(other));
    return before && links.find((other) => before.closest(".group, .alone, .group-page").contains(other));
  }
  const from = link.getBoundingClientRect(), down = key === "ArrowDown" ? 1 : -1;
  let best, least = Infinity;
  for (const other of links) {
    const box = other.getBoundingClientRect();
    const far = down * (box.top - from.top);
    const score = far + Math.abs(box.left - from.left) / 2;
    if (far > from.height / 2 && score < least) [best, least] = [other, score];
  }
  return best;
}

const movingKeys = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home", "End", "PageUp", "PageDown"];

function onFaceKey(event) {
  const link = event.target.closest("a[data-face]");
  if (!link || !isCorrecting() || event.ctrlKey || event.metaKey || event.altKey) return;
  if (movingKeys.includes(event.key)) {
    linkBeside(link, event.key)?.focus();
  } else if (event.key === " " || event.key === "Enter") {
    toggleFace(link, event.shiftKey);
  } else return;
  event.preventDefault();
}

if (correctable) {
  groupsSection.addEventListener("click", (event) => {
    const link = isCorrecting() && event.target.closest("a[data-face]");
    if (!link) return;
    event.preventDefault();
    event.stopPropagation(); // it does not open the nearest faces
    toggleFace(link, event.shiftKey);
  }, true);
  groupsSection.addEventListener("keydown", onFaceKey);
}
