// The search field by file name, and the list of found faces under it.
const search = document.getElementById("search");
const list = document.getElementById("search-list");
const found = document.getElementById("search-found");
const count = document.getElementById("search-count");
const mostListed = 50;
let waiting; // the timer that looks once the typing pauses
let chosen = -1; // of the list, by the arrow keys

const wantedName = () => search.value.trim().toLowerCase();
// The same name first, then those that begin with it; within each kind, the page's order.
const rankOf = (name, wanted) => (name === wanted ? 0 : name.startsWith(wanted) ? 1 : 2);

function closeList() {
  list.hidden = true;
  chosen = -1;
  search.setAttribute("aria-expanded", "false");
  search.removeAttribute("aria-activedescendant");
}

function searchOption(k, shown, name, choose) {
  const made = element("li", { id: `search-${k}` }, shown, name);
  made.setAttribute("role", "option");
  made.setAttribute("aria-selected", "false");
  made.addEventListener("pointerdown", (event) => event.preventDefault()); // the input keeps the focus
  made.addEventListener("click", choose);
  return made;
}

// Shows the first of `total` faces, or says that there is none.
function showList(options, wanted, total, none) {
  list.replaceChildren(...options);
  list.hidden = !options.length;
  search.setAttribute("aria-expanded", String(options.length > 0));
  const more = total > mostListed ? `: the first ${mostListed}, and ${(total - mostListed).toLocaleString("en")} more` : "";
  if (!wanted) count.textContent = "";
  else count.textContent = total ? `${counted(total, "face")}${more}.` : none;
}

function showTaken(name) {
  clearTimeout(waiting);
  search.value = name;
  count.textContent = `Nearest to ${name}:`;
}

async function move(step, look) {
  if (list.hidden && !(await look())) return;
  const options = list.children;
  if (!options.length) return;
  options[chosen]?.setAttribute("aria-selected", "false");
  chosen = chosen < 0 && step < 0 ? options.length - 1 : (chosen + step + options.length) % options.length;
  options[chosen].setAttribute("aria-selected", "true");
  options[chosen].scrollIntoView({ block: "nearest" });
  search.setAttribute("aria-activedescendant", options[chosen].id);
}

// `look` fills the list and returns whether it did; `decide` takes the face that is meant; `typed` hears of every change.
function onSearch(look, decide, pauseMs, typed = () => {}) {
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    typed();
    closeList(); // it is about what was typed before
    waiting = setTimeout(look, pauseMs);
  });
  search.addEventListener("keydown", (event) => {
    const keys = { ArrowDown: () => move(1, look), ArrowUp: () => move(-1, look), Enter: decide, Escape: closeList };
    if (!keys[event.key] || event.isComposing || (event.key === "Escape" && list.hidden)) return;
    event.preventDefault();
    keys[event.key]();
  });
  document.getElementById("search-go").addEventListener("click", decide);
}
