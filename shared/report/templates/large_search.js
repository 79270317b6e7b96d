// Search by file name over all faces. The files with the names are read one after the other when somebody searches; up to
// 64 million letters are kept for the next search, the others are read again.
const mostLetters = 64e6, pauseMs = 250, filesAhead = 4;
const nameFiles = Math.ceil(data.faces / data.faces_a_file);
const texts = new Map(); // by file: its names in lower case, a line each
let letters = 0;
let latestLook = 0; // the number of the latest look: earlier ones end
let hits = [], lookedFor = "";

async function textOf(file) {
  if (texts.has(file)) return texts.get(file);
  const { names } = await load("faces", file);
  const text = names.join("\n").toLowerCase();
  if (letters + text.length <= mostLetters && !texts.has(file)) {
    letters += text.length;
    texts.set(file, text);
  }
  return text;
}

function* matches(text, wanted) {
  let line = 0, counted = 0;
  for (let at = text.indexOf(wanted); at >= 0;) {
    for (let end = text.indexOf("\n", counted); end >= 0 && end < at; end = text.indexOf("\n", counted)) {
      line += 1;
      counted = end + 1;
    }
    const end = text.indexOf("\n", at);
    yield [line, text.slice(counted, end < 0 ? undefined : end)];
    if (end < 0) return;
    at = text.indexOf(wanted, end);
  }
}

async function take(place) {
  clearTimeout(waiting);
  latestLook += 1;
  closeList();
  const face = await faceAt(place).catch(() => null);
  if (!face) return;
  showTaken(face.name);
  showNearest(place, found);
}

function option({ place }, k) {
  const name = element("bdi");
  faceAt(place).then((face) => { name.textContent = face.name; }, () => {});
  return searchOption(k, thumbOf(place), name, () => take(place));
}

// Looks through all names; false if another look has begun meanwhile.
async function look() {
  clearTimeout(waiting);
  const mine = ++latestLook;
  const wanted = wantedName();
  const best = [[], [], []]; // by rank, the first `mostListed` of each
  let total = 0, told = performance.now();
  closeList();
  count.textContent = "";
  if (wanted) {
    for (let file = 0; file < nameFiles; file++) {
      for (let next = file + 1; next <= file + filesAhead && next < nameFiles; next++) textOf(next).catch(() => {});
      let text = "";
      try { text = await textOf(file); } catch { /* said by `load` */ }
      if (mine !== latestLook) return false;
      for (const [line, name] of matches(text, wanted)) {
        total += 1;
        const same = best[rankOf(name, wanted)];
        if (same.length < mostListed) same.push({ place: file * data.faces_a_file + line, name });
      }
      if (performance.now() - told > 200) {
        told = performance.now();
        count.textContent = `Searching: ${Math.round((100 * file) / nameFiles)} %`;
        await new Promise((go) => setTimeout(go)); // the page answers meanwhile
        if (mine !== latestLook) return false;
      }
    }
  }
  hits = best.flat().slice(0, mostListed);
  lookedFor = wanted;
  showList(hits.map(option), wanted, total, "No face of such a file.");
  return true;
}

// The one that is meant: that of the arrow keys, the only one, or the only one of exactly this name. Else the list asks.
async function decide() {
  if (!list.hidden && chosen >= 0) {
    take(hits[chosen].place);
    return;
  }
  if ((list.hidden || lookedFor !== wantedName()) && !(await look())) return;
  const exact = hits.filter(({ name }) => name === lookedFor);
  if (hits.length === 1 || exact.length === 1) take((exact[0] ?? hits[0]).place);
}

onSearch(look, decide, pauseMs, () => { latestLook += 1; });
