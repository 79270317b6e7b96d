// Faces of a large page. A face is known by its place in the page's order; its name, its picture and what is near it are
// in files beside the page, and are loaded when they are needed.

// Files: scripts that call `facequeueReport`. A page opened from a disk may load nothing else. The latest ones are kept.
const arrived = new Map();
const loading = new Map();
const mostKept = 150;

window.facequeueReport = (kind, number, content) => { loading.get(`${kind} ${number}`)?.resolve(content); };

function load(kind, number) {
  const key = `${kind} ${number}`;
  if (arrived.has(key)) {
    const content = arrived.get(key);
    arrived.delete(key);
    arrived.set(key, content); // the latest again
    return Promise.resolve(content);
  }
  if (loading.has(key)) return loading.get(key).promise;
  const entry = {};
  entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
  loading.set(key, entry);
  const script = element("script", { src: `${data.files}/${kind}-${String(number + 1).padStart(4, "0")}.js` });
  const fail = () => entry.reject(new Error(script.src));
  script.addEventListener("load", fail); // too late if it has called
  script.addEventListener("error", fail);
  document.head.append(script);
  entry.promise.then(
    (content) => {
      arrived.set(key, content);
      if (arrived.size > mostKept) arrived.delete(arrived.keys().next().value);
    },
    () => { document.getElementById("files-missing").hidden = false; },
  ).finally(() => {
    loading.delete(key);
    script.remove();
  });
  return entry.promise;
}

const known = new Map(data.known.map((face) => [face.place, face]));
const fileOf = (place) => Math.floor(place / data.faces_a_file);

function faceIn(content, place) {
  const at = place % data.faces_a_file;
  return { place, name: content.names[at], row: content.rows[at], picture: content.pictures[at], suggested: content.suggested.includes(at) };
}

const faceAt = async (place) => known.get(place) ?? faceIn(await load("faces", fileOf(place)), place);

// The face's picture, cut from its sheet, or a box with the name of its file.
function picture(face) {
  if (face.picture < 0) {
    const box = element("span", { className: "none" }, element("bdi", {}, face.name.slice(face.name.lastIndexOf("/") + 1)));
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", `No picture: face ${face.row}, in ${face.name}`);
    return box;
  }
  const { sheet_columns: columns, sheet_rows: rows } = data;
  const at = face.picture % (columns * rows);
  const sheet = String(Math.floor(face.picture / (columns * rows)) + 1).padStart(4, "0");
  const shown = element("span", { className: "sprite" });
  shown.style.backgroundImage = `url("${data.files}/sheet-${sheet}.jpg")`;
  shown.style.backgroundSize = `${100 * columns}% ${100 * rows}%`;
  shown.style.backgroundPosition = `${(100 * (at % columns)) / (columns - 1)}% ${(100 * Math.floor(at / columns)) / (rows - 1)}%`;
  shown.setAttribute("role", "img");
  shown.setAttribute("aria-label", `Face ${face.row}, in ${face.name}`);
  return shown;
}

// The picture, as soon as it is there.
function thumbOf(place) {
  const shown = element("span", { className: "coming" });
  faceAt(place).then((face) => shown.replaceWith(picture(face)), () => {});
  return shown;
}

// At once, with picture and name as soon as they are there.
function faceFigure(place, ...caption) {
  const link = element("a", { href: "#neighbors" }, element("span", { className: "coming" }));
  link.dataset.face = place;
  const name = element("bdi"), title = element("figcaption", {}, name);
  const figure = element("figure", { className: "face" }, link, ...caption, title);
  const fill = (face) => {
    link.replaceChildren(picture(face));
    if (!data.people) figure.classList.toggle("suggested", face.suggested);
    name.textContent = title.title = face.name;
  };
  const content = arrived.get(`faces ${fileOf(place)}`);
  if (known.has(place)) fill(known.get(place));
  else if (content) fill(faceIn(content, place));
  else faceAt(place).then(fill, () => {});
  return figure;
}

// Groups: runs of one size, the largest first. The places behind them are of faces alone.
const runs = [];
let groupCount = 0, groupedFaces = 0;
for (const [size, count] of data.group_sizes) {
  runs.push({ size, count, group: groupCount, place: groupedFaces });
  groupCount += count;
  groupedFaces += size * count;
}

function runWith(key, value) {
  let low = 0, high = runs.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (runs[middle][key] <= value) low = middle;
    else high = middle;
  }
  return runs[low];
}

function groupAt(group) {
  const run = runWith("group", group);
  return { group, size: run.size, start: run.place + (group - run.group) * run.size };
}

function groupOf(place) {
  if (place >= groupedFaces) return null;
  const run = runWith("place", place);
  return groupAt(run.group + Math.floor((place - run.place) / run.size));
}

// As `corrections.js` wants it.
const computedGroups = {
  faces: data.faces,
  groups: groupCount,
  several: data.group_sizes.reduce((sum, [size, count]) => sum + (size > 1 ? count : 0), 0),
  copiesOf: copiesIn(data.people?.copies ?? []),
  groupOf: (place) => groupOf(place)?.group ?? groupCount + place,
  membersOf: (group) => {
    if (group >= groupCount) return group - groupCount < groupedFaces ? [] : [group - groupCount];
    const { size, start } = groupAt(group);
    return Array.from({ length: size }, (_, k) => start + k);
  },
};
work.state = uncorrected(computedGroups);

const unpacked = new WeakMap(); // by the content of a file: its places and distances

// The faces that a file of this kind has for a face, and their distances.
async function nearestTo(place, kind = "near") {
  const content = await load(kind, fileOf(place));
  if (!unpacked.has(content)) unpacked.set(content, [decodeNumbers(content.faces, 4), decodeUint16(content.distances)]);
  const [places, distances] = unpacked.get(content);
  const at = (place % data.faces_a_file) * content.count;
  const found = Array.from({ length: content.count }, (_, k) => [places[at + k], distances[at + k] * data.unit]);
  return found.filter(([near]) => near < data.faces);
}

async function showNearest(place, into) {
  const nearest = element("div", { className: "faces" });
  const self = faceFigure(place);
  const group = groupOfFace(work.state, place);
  if (!isAlone(work.state, group)) {
    self.append(button(`${titleOf(work.state, group)}, ${counted(membersOf(work.state, group).length, "face")}`, () => {
      closeDialog();
      openGroup(group);
    }, { className: "to-group" }));
  }
  into.replaceChildren(element("div", { className: "found" }, self, nearest));
  if (!data.neighbors) {
    nearest.append(element("p", { className: "empty" }, "The job has no nearest neighbors of its faces."));
    return;
  }
  const near = await nearestTo(place).catch(() => []);
  for (const [other, distance] of near) {
    nearest.append(faceFigure(other, distanceNote(distance)));
  }
  if (!near.length) nearest.append(element("p", { className: "empty" }, "None is known."));
}

async function openNearest(place) {
  const face = await faceAt(place).catch(() => null);
  if (face) showDialog(`Nearest to ${face.name}`, (inside) => showNearest(place, inside));
}

openByClick(openNearest);

for (const thumbs of document.querySelectorAll("[data-pair]")) {
  thumbs.append(...thumbs.dataset.pair.split(" ").map((place) => picture(known.get(Number(place)))));
}
