// Search by file name over all faces. The files with the names are read one after the other when somebody searches; up to
// 64 million letters are kept for the next search, the others are read again.
const search = document.getElementById("search");
const list = document.getElementById("search-list");
const found = document.getElementById("search-found");
const count = document.getElementById("search-count");
const mostListed = 50, mostLetters = 64e6, pauseMs = 250, filesAhead = 4;
const nameFiles = Math.ceil(data.faces / data.faces_a_file);
const texts = new Map(); // by file: its names in lower case, a line each
let letters = 0;
let waiting; // the timer that looks once the typing pauses
let latestLook = 0; // the number of the latest look: earlier ones end
let chosen = -1; // of the list, by the arrow keys
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

// The same name first, then those that begin with it; within each kind, the page's order.
const rankOf = (name, wanted) => (name === wanted ? 0 : name.startsWith(wanted) ? 1 : 2);

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

function closeList() {
  list.hidden = true;
  chosen = -1;
  search.setAttribute("aria-expanded", "false");
  search.removeAttribute("aria-activedescendant");
}

async function take(place) {
  clearTimeout(waiting);
  latestLook += 1;
  closeList();
  const face = await faceAt(place).catch(() => null);
  if (!face) return;
  search.value = face.name;
  count.textContent = `Nearest to ${face.name}:`;
  showNearest(place, found);
}

function option({ place }, k) {
  const name = element("bdi"), shown = element("span", { className: "coming" });
  const made = element("li", { id: `search-${k}` }, shown, name);
  faceAt(place).then((face) => {
    name.textContent = face.name;
    shown.replaceWith(picture(face));
  }, () => {});
  made.setAttribute("role", "option");
  made.setAttribute("aria-selected", "false");
  made.addEventListener("pointerdown", (event) => event.preventDefault()); // the input keeps the focus
  made.addEventListener("click", () => take(place));
  return made;
}

// Looks through all names; false if another look has begun meanwhile.
async function look() {
  clearTimeout(waiting);
  const mine = ++latestLook;
  const wanted = search.value.trim().toLowerCase();
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
  list.replaceChildren(...hits.map(option));
  list.hidden = !hits.length;
  search.setAttribute("aria-expanded", String(hits.length > 0));
  const more = total > mostListed ? `: the first ${mostListed}, and ${(total - mostListed).toLocaleString("en")} more` : "";
  if (!wanted) count.textContent = "";
  else if (total) count.textContent = `${counted(total, "face")}${more}.`;
  else count.textContent = "No face of such a file.";
  return true;
}

async function move(step) {
  if (list.hidden && !(await look())) return;
  const options = list.children;
  if (!options.length) return;
  options[chosen]?.setAttribute("aria-selected", "false");
  chosen = chosen < 0 && step < 0 ? options.length - 1 : (chosen + step + options.length) % options.length;
  options[chosen].setAttribute("aria-selected", "true");
  options[chosen].scrollIntoView({ block: "nearest" });
  search.setAttribute("aria-activedescendant", options[chosen].id);
}

// The one that is meant: that of the arrow keys, the only one, or the only one of exactly this name. Else the list asks.
async function decide() {
  if (!list.hidden && chosen >= 0) {
    take(hits[chosen].place);
    return;
  }
  if ((list.hidden || lookedFor !== search.value.trim().toLowerCase()) && !(await look())) return;
  const exact = hits.filter(({ name }) => name === lookedFor);
  if (hits.length === 1 || exact.length === 1) take((exact[0] ?? hits[0]).place);
}

search.addEventListener("input", () => {
  clearTimeout(waiting);
  latestLook += 1;
  closeList(); // it is about what was typed before
  waiting = setTimeout(look, pauseMs);
});
search.addEventListener("keydown", (event) => {
  const keys = { ArrowDown: () => move(1), ArrowUp: () => move(-1), Enter: decide, Escape: closeList };
  if (!keys[event.key] || event.isComposing || (event.key === "Escape" && list.hidden)) return;
  event.preventDefault();
  keys[event.key]();
});
document.getElementById("search-go").addEventListener("click", decide);
