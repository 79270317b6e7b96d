// The heat map of any group: its distances are in a file.
const matrixOf = document.getElementById("matrix-of");
const pairsIn = (size) => { const shown = Math.min(size, data.most_in_matrix); return (shown * (shown - 1)) / 2; };
const groupsWithPairs = data.pair_groups.reduce((sum, count) => sum + count, 0);
const hasMatrix = (group) => group < groupsWithPairs;

const palette = (() => {
  const anchors = data.colors.map((color) => [1, 3, 5].map((k) => parseInt(color.slice(k, k + 2), 16)));
  return Array.from({ length: 256 }, (_, k) => {
    const at = (k / 255) * (anchors.length - 1), low = Math.min(anchors.length - 2, Math.floor(at));
    return anchors[low].map((value, channel) => Math.round(value + (at - low) * (anchors[low + 1][channel] - value)));
  });
})();

// One pixel a pair, in the colors of the sample.
function painted(size, cells) {
  const canvas = element("canvas", { width: size, height: size });
  const image = new ImageData(size, size);
  const paint = (row, column, color) => image.data.set([...color, 255], 4 * (row * size + column));
  let at = 0;
  for (let row = 0; row < size; row++) {
    paint(row, row, palette[0]);
    for (let column = row + 1; column < size; column++) {
      const color = palette[Math.min(255, Math.round((cells[at++] * data.unit * 255) / data.top))];
      paint(row, column, color);
      paint(column, row, color);
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

async function showGroupMatrix(group) {
  const { size, start } = groupAt(group);
  let file = 0, first = 0;
  while (first + data.pair_groups[file] <= group) first += data.pair_groups[file++];
  let begin = 0;
  for (let other = first; other < group; other++) begin += pairsIn(groupAt(other).size);
  const content = await load("pairs", file).catch(() => null);
  if (!content) return;
  const cells = decodeUint16(content.distances).subarray(begin, begin + pairsIn(size));
  const shown = Math.min(size, data.most_in_matrix);
  const order = Array.from({ length: shown }, (_, k) => start + Math.floor((k * size) / shown));
  const faces = shown < size ? `${shown} of its ${counted(size, "face")}, spread evenly` : counted(size, "face");
  const text = `${computedName(group)}: ${faces}, in the order of their distance to the first.`;
  openMatrix({ size: shown, order, cells, unit: data.unit, first: [0, 1], squares: [] }, painted(shown, cells), text);
  matrixOf.replaceChildren(text, " ", button("Back to the sample", showSample));
  document.getElementById("matrix").scrollIntoView({ behavior: "instant" });
  document.getElementById("matrix-canvas").focus({ preventScroll: true });
}

function showSample() {
  matrixOf.replaceChildren();
  openSample();
  document.getElementById("matrix-canvas").focus({ preventScroll: true });
}

document.getElementById("matrix-form")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const group = document.getElementById("matrix-group").valueAsNumber - data.first_group;
  if (Number.isInteger(group) && group >= 0 && hasMatrix(group)) showGroupMatrix(group);
  else matrixOf.textContent = `This page has the distances within groups ${data.first_group} to ${groupsWithPairs + data.first_group - 1}.`;
});
