// What the pages of all sizes share. Names are file names, never markup: they are only ever set as text.
const data = JSON.parse(document.getElementById("data").textContent);

function decodeNumbers(text, bytes) {
  const content = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const view = new DataView(content.buffer); // little-endian, whatever the machine
  return bytes === 2
    ? Uint16Array.from({ length: content.length / 2 }, (_, k) => view.getUint16(2 * k, true))
    : Uint32Array.from({ length: content.length / 4 }, (_, k) => view.getUint32(4 * k, true));
}

const decodeUint16 = (text) => decodeNumbers(text, 2);
const counted = (number, one) => `${number.toLocaleString("en")} ${one}${number === 1 ? "" : "s"}`;
const withinThreshold = (distance) => data.threshold !== null && distance <= data.threshold;

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function button(text, action, properties = {}) {
  const made = element("button", { type: "button", ...properties }, text);
  made.addEventListener("click", action);
  return made;
}

function distanceNote(distance) {
  const note = element("span", { className: withinThreshold(distance) ? "far same" : "far" }, distance.toFixed(3));
  if (withinThreshold(distance)) note.title = "within the threshold";
  return note;
}

// The dialog with the faces nearest to one.
const dialog = document.getElementById("face-dialog");
const closeDialog = () => dialog.close();

function showDialog(heading, fill) {
  const title = document.getElementById("face-dialog-title");
  title.textContent = heading;
  fill(dialog.lastElementChild);
  if (!dialog.open) dialog.showModal();
  title.focus(); // the link that had it may be gone, and a screen reader reads what has come
  dialog.scrollTop = 0;
}

// A click on a face calls `open` with its number.
function openByClick(open) {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-face]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    open(Number(link.dataset.face));
  });
  document.getElementById("face-dialog-close").addEventListener("click", closeDialog);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) closeDialog(); });
}
