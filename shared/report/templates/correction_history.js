// The reader's corrections one after the other: the present state, undo and redo, and what the browser keeps of them.
const work = { done: [], undone: [], state: null, begin: [] };
let correctable = null; // what the page says of its faces, and how it shows them; null if groups cannot be corrected
const listeners = []; // called with (words, before) after each change
let storageTrouble = "";

function keepHistory() {
  storageTrouble = "";
  try {
    if (work.done.length || work.undone.length) {
      localStorage.setItem(data.people.key, JSON.stringify({ done: work.done, undone: work.undone }));
    } else localStorage.removeItem(data.people.key);
    keepFile();
  } catch (error) {
    storageTrouble = error.name === "QuotaExceededError"
      ? "The browser's storage is full: your corrections are lost when you close the page. Save them as people.csv."
      : "The browser keeps nothing for this page: your corrections are lost when you close it. Save them as people.csv.";
  }
}

function replayed(entries) {
  const state = applySteps(uncorrected(correctable.base), work.begin);
  for (const entry of entries) applySteps(state, entry.steps);
  return state;
}

function changed(words) {
  const before = work.state;
  work.state = replayed(work.done);
  keepHistory();
  for (const listener of listeners) listener(words, before);
}

function commit(list, words) {
  if (!list.length) return;
  work.done.push({ words, steps: list });
  work.undone = [];
  changed(words);
}

function undo() {
  const entry = work.done.pop();
  if (!entry) return;
  work.undone.push(entry);
  changed(`Undone: ${entry.words}`);
}

function redo() {
  const entry = work.undone.pop();
  if (!entry) return;
  work.done.push(entry);
  changed(`Done again: ${entry.words}`);
}

function readHistory(text) {
  const { done, undone } = JSON.parse(text);
  const valid = (entries) => Array.isArray(entries) && entries.every(({ words, steps: list }) =>
    typeof words === "string" && Array.isArray(list) && list.every((step) => isStep(correctable.base, step)));
  if (!valid(done) || !valid(undone)) throw new Error("no corrections");
  replayed(done);
  return { done, undone };
}

// Takes up what the browser has kept. `begin` are the steps of a file that the report was made with.
function openHistory(begin) {
  work.begin = begin;
  try {
    const kept = localStorage.getItem(data.people.key);
    if (kept) Object.assign(work, readHistory(kept));
  } catch { /* a browser may refuse storage to files, and what is there may be damaged: then nothing was kept */ }
  work.state = replayed(work.done);
  addEventListener("storage", ({ key, newValue }) => { // another window with this report
    if (key !== data.people.key) return;
    try {
      Object.assign(work, newValue ? readHistory(newValue) : { done: [], undone: [] });
    } catch { return; }
    const before = work.state;
    work.state = replayed(work.done);
    for (const listener of listeners) listener("Another window has changed the corrections.", before);
  });
  addEventListener("beforeunload", (event) => { if (storageTrouble && work.done.length) event.preventDefault(); });
}
