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

const near = data.neighbours && decodeUint16(data.neighbours.faces);
const far = data.neighbours && decodeUint16(data.neighbours.distances);

function showNearest(face, place) {
  const list = element("div", { className: "faces" });
  for (let k = 0; k < data.neighbours.count; k++) {
    const at = face * data.neighbours.count + k;
    const distance = far[at] * data.neighbours.unit;
    const text = element("span", { className: withinThreshold(distance) ? "far same" : "far" }, distance.toFixed(3));
    if (withinThreshold(distance)) text.title = "within the threshold";
    list.append(faceFigure(near[at], text));
  }
  const found = element("div", { className: "found" }, faceFigure(face), list);
  place.replaceChildren(found);
}

if (data.neighbours) {
  const dialog = document.getElementById("face-dialog");
  const inside = dialog.lastElementChild;
  openNearest = (face) => {
    showNearest(face, inside);
    if (!dialog.open) dialog.showModal();
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
  const place = document.getElementById("search-found");
  document.getElementById("names").append(...data.names.map((name) => element("option", { value: name })));
  const look = (partly) => {
    const wanted = search.value.trim().toLowerCase();
    if (!wanted) return;
    let face = data.names.findIndex((name) => name.toLowerCase() === wanted);
    if (face < 0 && partly) face = data.names.findIndex((name) => name.toLowerCase().includes(wanted));
    if (face >= 0) showNearest(face, place);
    else if (partly) place.replaceChildren(element("p", { className: "empty" }, "No face of such a file on this page."));
  };
  search.addEventListener("input", () => look(false));
  search.addEventListener("keydown", (event) => { if (event.key === "Enter") look(true); });
  document.getElementById("search-go").addEventListener("click", () => look(true));
}

for (const thumbs of document.querySelectorAll("[data-pair]")) {
  thumbs.append(...thumbs.dataset.pair.split(" ").map(picture));
}
