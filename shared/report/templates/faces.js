// Faces of a page that holds them all, and their nearest ones.

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

const near = data.neighbors && decodeUint16(data.neighbors.faces);
const far = data.neighbors && decodeUint16(data.neighbors.distances);

function showNearest(face, place) {
  const nearest = element("div", { className: "faces" });
  for (let k = 0; k < data.neighbors.count; k++) {
    const at = face * data.neighbors.count + k;
    nearest.append(faceFigure(near[at], distanceNote(far[at] * data.neighbors.unit)));
  }
  place.replaceChildren(element("div", { className: "found" }, faceFigure(face), nearest));
}

function openNearest(face) {
  if (data.neighbors) showDialog(`Nearest to ${data.names[face]}`, (inside) => showNearest(face, inside));
}

if (data.neighbors) {
  openByClick(openNearest);

  const lowered = data.names.map((name) => name.toLowerCase());
  let hits = [];
  const take = (face) => {
    closeList();
    showTaken(data.names[face]);
    showNearest(face, found);
  };
  const look = () => {
    clearTimeout(waiting);
    const wanted = wantedName();
    hits = wanted ? [...lowered.keys()].filter((face) => lowered[face].includes(wanted)) : [];
    hits.sort((a, b) => rankOf(lowered[a], wanted) - rankOf(lowered[b], wanted) || a - b);
    closeList();
    const options = hits.slice(0, mostListed).map((face, k) =>
      searchOption(k, picture(face), element("bdi", {}, data.names[face]), () => take(face)));
    showList(options, wanted, hits.length, "No face of such a file on this page.");
    return true;
  };
  // The one that is meant: that of the arrow keys, the only one, or the only one of exactly this name. Else the list asks.
  const decide = () => {
    const at = list.hidden ? -1 : chosen;
    if (at < 0) look();
    if (at >= 0) take(hits[at]);
    else if (hits.length === 1 || (hits.length && lowered[hits[0]] === wantedName())) take(hits[0]);
  };
  onSearch(look, decide, 150);
}

for (const thumbs of document.querySelectorAll("[data-pair]")) {
  thumbs.append(...thumbs.dataset.pair.split(" ").map(picture));
}
