// The heat map: a view into the picture of one pixel a pair, and the pair under the pointer or the arrow keys.
if (data.matrix) {
  const { size, order, unit, squares } = data.matrix;
  const cells = decodeUint16(data.matrix.cells); // above the diagonal, row by row
  const canvas = document.getElementById("matrix-canvas");
  const source = document.getElementById("matrix-picture");
  const panel = document.getElementById("pair");
  const pen = canvas.getContext("2d");
  const smallestView = Math.min(size, 8);
  let view = { x: 0, y: 0, size };
  let row = 0, column = Math.min(1, size - 1);

  const distanceAt = (a, b) => {
    if (a === b) return 0;
    const [i, j] = a < b ? [a, b] : [b, a];
    return cells[i * size - (i * (i + 1)) / 2 + j - i - 1] * unit;
  };

  function draw() {
    const side = Math.round(canvas.clientWidth * devicePixelRatio);
    if (!side) return;
    if (canvas.width !== side) canvas.width = canvas.height = side;
    const cell = side / view.size;
    pen.imageSmoothingEnabled = cell < 1;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(source, view.x, view.y, view.size, view.size, 0, 0, side, side);
    pen.strokeStyle = "rgb(255 255 255 / 75%)";
    pen.lineWidth = Math.max(1, devicePixelRatio);
    for (const [start, end] of squares) {
      if ((end - start) * cell > 3) pen.strokeRect((start - view.x) * cell, (start - view.y) * cell, (end - start) * cell, (end - start) * cell);
    }
    const x = (column - view.x) * cell, y = (row - view.y) * cell, thick = Math.max(cell, 2 * devicePixelRatio);
    pen.fillStyle = "rgb(255 255 255 / 22%)";
    pen.fillRect(0, y, side, thick);
    pen.fillRect(x, 0, thick, side);
    pen.strokeStyle = "#fff";
    pen.lineWidth = 2 * devicePixelRatio;
    pen.strokeRect(x, y, thick, thick);
  }

  function choose(newRow, newColumn) {
    row = Math.max(0, Math.min(size - 1, newRow));
    column = Math.max(0, Math.min(size - 1, newColumn));
    const edge = (at, start) => Math.max(at - view.size + 1, Math.min(at, start));
    view.x = edge(column, view.x);
    view.y = edge(row, view.y);
    draw();
    const distance = distanceAt(row, column);
    let words = "";
    if (row === column) words = "the same face";
    else if (data.threshold !== null) words = withinThreshold(distance) ? `within ${data.threshold.toFixed(2)}` : `above ${data.threshold.toFixed(2)}`;
    panel.replaceChildren(
      element("div", { className: "two" }, faceFigure(order[row]), faceFigure(order[column])),
      element("div", {}, element("p", { className: "big" }, distance.toFixed(3)), element("p", { className: "quiet small" }, words)),
    );
  }

  function zoom(factor) {
    view.size = Math.max(smallestView, Math.min(size, Math.round(view.size * factor)));
    const start = (at) => Math.max(0, Math.min(size - view.size, Math.round(at - view.size / 2)));
    view.x = start(column);
    view.y = start(row);
    draw();
  }

  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [
      Math.floor(view.y + ((event.clientY - box.top) / box.height) * view.size),
      Math.floor(view.x + ((event.clientX - box.left) / box.width) * view.size),
    ];
  };
  canvas.addEventListener("pointermove", (event) => {
    const [a, b] = at(event);
    if (event.pointerType === "mouse" && (a !== row || b !== column)) choose(a, b);
  });
  canvas.addEventListener("pointerdown", (event) => choose(...at(event)));
  canvas.addEventListener("dblclick", () => zoom(0.5));
  canvas.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 10 : 1;
    const keys = {
      ArrowUp: () => choose(row - step, column), ArrowDown: () => choose(row + step, column),
      ArrowLeft: () => choose(row, column - step), ArrowRight: () => choose(row, column + step),
      "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: () => zoom(size), Enter: () => openNearest(order[row]),
    };
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  document.getElementById("zoom-in").addEventListener("click", () => zoom(0.5));
  document.getElementById("zoom-out").addEventListener("click", () => zoom(2));
  document.getElementById("zoom-all").addEventListener("click", () => zoom(size));
  new ResizeObserver(draw).observe(canvas);
  source.decode().then(() => choose(...data.matrix.first), () => choose(...data.matrix.first));
}
