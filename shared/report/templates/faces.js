// Faces and their nearest ones. `names` are file names, never markup: they are only ever set as text.
const data = JSON.parse(document.getElementById("data").textContent);

function decodeUint16(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer); // little-endian, whatever the machine
  return Uint16Array.from({ length: bytes.length / 2 }, (_, k) => view.getUint16(2 * k, true));
}

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// A copy of the face's picture, or of the place that says there is none.
function picture(face) {
  const shown = document.querySelector(`#face-${face} img, #face-${face} .none`);
  return shown ? shown.cloneNode(true) : element("span", { className: "none" }, "no picture");
}

function faceFigure(face, ...caption) {
  const link = element("a", { href: `#face-${face}` }, picture(face));
  link.dataset.face = face;
  return element("figure", { className: "face" }, link, ...caption,
    element("figcaption", { title: data.names[face] }, element("bdi", {}, data.names[face])));
}

const withinThreshold = (distance) => data.threshold !== null && distance <= data.threshold;

let openNearest = () => {};

const near = data.neighbors && decodeUint16(data.neighbors.faces);
const far = data.neighbors && decodeUint16(data.neighbors.distances);

function showNearest(face, place) {
  const list = element("div", { className: "faces" });
  for (let k = 0; k < data.neighbors.count; k++) {
    const at = face * data.neighbors.count + k;
    const distance = far[at] * data.neighbors.unit;
    const text = element("span", { className: withinThreshold(distance) ? "far same" : "far" }, distance.toFixed(3));
    if (withinThreshold(distance)) text.title = "within the threshold";
    list.append(faceFigure(near[at], text));
  }
  const found = element("div", { className: "found" }, faceFigure(face), list);
  place.replaceChildren(found);
}

if (data.neighbors) {
  const dialog = document.getElementById("face-dialog");
  const inside = dialog.lastElementChild;
  const title = document.getElementById("face-dialog-title");
  openNearest = (face) => {
    showNearest(face, inside);
    title.textContent = `Nearest to ${data.names[face]}`;
    if (!dialog.open) dialog.showModal();
    title.focus(); // the link that had it may be gone, and a screen reader reads what has come
    dialog.scrollTop = 0;
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-face]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    openNearest(Number(link.dataset.face));
  });
  document.getElementById("face-dialog-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

  const search = document.getElementById("search");
  const list = document.getElementById("search-list");
  const count = document.getElementById("search-count");
  const place = document.getElementById("search-found");
  const lowered = data.names.map((name) => name.toLowerCase());
  const mostListed = 50;
  let waiting; // the timer that looks once the typing pauses
  let chosen = -1; // of the list, by the arrow keys

  const close = () => {
    list.hidden = true;
    chosen = -1;
    search.setAttribute("aria-expanded", "false");
    search.removeAttribute("aria-activedescendant");
  };
  const take = (face) => {
    clearTimeout(waiting);
    search.value = data.names[face];
    close();
    count.textContent = `Nearest to ${data.names[face]}:`;
    showNearest(face, place);
  };
  const option = (face, k) => {
    const made = element("li", { id: `search-${k}` }, picture(face), element("bdi", {}, data.names[face]));
    made.setAttribute("role", "option");
    made.setAttribute("aria-selected", "false");
    made.addEventListener("pointerdown", (event) => event.preventDefault()); // the input keeps the focus
    made.addEventListener("click", () => take(face));
    return made;
  };
  let hits = [];
  const look = () => {
    clearTimeout(waiting);
    const wanted = search.value.trim().toLowerCase();
    hits = wanted ? [...lowered.keys()].filter((face) => lowered[face].includes(wanted)) : [];
    // The same name first, then those that begin with it; within each kind, the page's order.
    const rank = (face) => (lowered[face] === wanted ? 0 : lowered[face].startsWith(wanted) ? 1 : 2);
    hits.sort((a, b) => rank(a) - rank(b) || a - b);
    close();
    list.replaceChildren(...hits.slice(0, mostListed).map(option));
    list.hidden = !hits.length;
    search.setAttribute("aria-expanded", String(hits.length > 0));
    const more = hits.length > mostListed ? `: the first ${mostListed}, and ${(hits.length - mostListed).toLocaleString("en")} more` : "";
    if (!wanted) count.textContent = "";
    else if (hits.length) count.textContent = `${hits.length.toLocaleString("en")} ${hits.length === 1 ? "face" : "faces"}${more}.`;
    else count.textContent = "No face of such a file on this page.";
  };
  const move = (step) => {
    if (list.hidden) look();
    const options = list.children;
    if (!options.length) return;
    options[chosen]?.setAttribute("aria-selected", "false");
    chosen = chosen < 0 && step < 0 ? options.length - 1 : (chosen + step + options.length) % options.length;
    options[chosen].setAttribute("aria-selected", "true");
    options[chosen].scrollIntoView({ block: "nearest" });
    search.setAttribute("aria-activedescendant", options[chosen].id);
  };
  // The one that is meant: that of the arrow keys, the only one, or the only one of exactly this name. Else the list asks.
  const decide = () => {
    const at = list.hidden ? -1 : chosen;
    if (at < 0) look();
    if (at >= 0) take(hits[at]);
    else if (hits.length === 1 || (hits.length && lowered[hits[0]] === search.value.trim().toLowerCase())) take(hits[0]);
  };
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    close(); // it is about what was typed before
    waiting = setTimeout(look, 150);
  });
  search.addEventListener("keydown", (event) => {
    const keys = { ArrowDown: () => move(1), ArrowUp: () => move(-1), Enter: decide, Escape: close };
    if (!keys[event.key] || event.isComposing || (event.key === "Escape" && list.hidden)) return;
    event.preventDefault();
    keys[event.key]();
  });
  document.getElementById("search-go").addEventListener("click", decide);
}

for (const thumbs of document.querySelectorAll("[data-pair]")) {
  thumbs.append(...thumbs.dataset.pair.split(" ").map(picture));
}
