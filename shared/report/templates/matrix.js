// The heat map: a view into the picture of one pixel a pair. The mouse previews the pair under it until one is pinned, so that
// a pair can be looked at and worked with in the panel: every way to the panel leads over other pairs.
let openMatrix, openSample;
if (data.matrix) {
  const sample = { ...data.matrix, cells: decodeUint16(data.matrix.cells) };
  const canvas = document.getElementById("matrix-canvas");
  const sampleSource = document.getElementById("matrix-picture");
  const help = canvas.getAttribute("aria-label").slice(sampleSource.alt.length);
  const panel = document.getElementById("pair");
  const pen = canvas.getContext("2d");
  let { size, order, unit, squares, cells } = sample; // cells: above the diagonal, row by row
  let source = sampleSource; // one pixel a pair
  let smallestView = Math.min(size, 8);
  let view = { x: 0, y: 0, size };
  let row = 0, column = Math.min(1, size - 1);
  let pinned = false;
  let drag = null; // where a button or finger went down, and what the view was then
  const slack = 5; // CSS pixels that a click may move

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
    if (pinned) {
      const ring = 4 * devicePixelRatio;
      pen.strokeStyle = "#ff5a36"; // not one of the palette's colors
      pen.lineWidth = 3 * devicePixelRatio;
      pen.strokeRect(x - ring, y - ring, thick + 2 * ring, thick + 2 * ring);
    }
    // The whole matrix leaves a finger's drag to the page, which scrolls; a part of it is moved itself.
    canvas.style.touchAction = view.size < size ? "none" : "manipulation";
    canvas.style.cursor = drag && drag.moved && view.size < size ? "grabbing" : "";
  }

  function choose(newRow, newColumn) {
    row = Math.max(0, Math.min(size - 1, newRow));
    column = Math.max(0, Math.min(size - 1, newColumn));
    const edge = (at, start) => Math.max(at - view.size + 1, Math.min(at, start));
    view.x = edge(column, view.x);
    view.y = edge(row, view.y);
    show();
  }

  function pin(newRow, newColumn) {
    pinned = true;
    choose(newRow, newColumn);
  }

  function unpin() {
    if (!pinned) return;
    pinned = false;
    const inPanel = panel.contains(document.activeElement);
    show();
    if (inPanel) canvas.focus({ preventScroll: true }); // the button that had it is gone
  }

  function show() {
    draw();
    const distance = distanceAt(row, column);
    let words = "";
    if (row === column) words = "the same face";
    else if (data.threshold !== null) words = withinThreshold(distance) ? `within ${data.threshold.toFixed(2)}` : `above ${data.threshold.toFixed(2)}`;
    panel.replaceChildren(
      element("div", { className: "two" },
        faceFigure(order[row], element("span", { className: "side" }, "row")),
        faceFigure(order[column], element("span", { className: "side" }, "column"))),
      element("div", {}, element("p", { className: "big" }, distance.toFixed(3)), element("p", { className: "quiet small" }, words), state()),
    );
  }

  function state() {
    if (!pinned) return element("p", { className: "quiet small" }, "A click or a tap pins this pair.");
    const button = element("button", { type: "button", id: "unpin" }, "Unpin");
    button.addEventListener("click", unpin);
    return element("p", { className: "quiet small" }, "Pinned. ", button);
  }

  const within = (start) => Math.max(0, Math.min(size - view.size, start));

  // Around the pair where there is a pinned one, else around the middle of what is seen.
  function zoom(factor, aroundPair = pinned) {
    const middle = aroundPair ? [column + 0.5, row + 0.5] : [view.x + view.size / 2, view.y + view.size / 2];
    view.size = Math.max(smallestView, Math.min(size, Math.round(view.size * factor)));
    view.x = within(Math.round(middle[0] - view.size / 2));
    view.y = within(Math.round(middle[1] - view.size / 2));
    draw();
  }

  // What is under the pointer stays there.
  function zoomAt(event, factor) {
    const box = canvas.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
    const [atX, atY] = [view.x + x * view.size, view.y + y * view.size];
    view.size = Math.max(smallestView, Math.min(size, Math.round(view.size * factor)));
    view.x = within(atX - x * view.size);
    view.y = within(atY - y * view.size);
    draw();
  }

  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [
      Math.floor(view.y + ((event.clientY - box.top) / box.height) * view.size),
      Math.floor(view.x + ((event.clientX - box.left) / box.width) * view.size),
    ];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary) return;
    drag = { clientX: event.clientX, clientY: event.clientY, x: view.x, y: view.y, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (drag && event.isPrimary) {
      const right = event.clientX - drag.clientX, down = event.clientY - drag.clientY;
      drag.moved ||= Math.hypot(right, down) > slack;
      if (!drag.moved) return;
      view.x = within(drag.x - (right / canvas.clientWidth) * view.size);
      view.y = within(drag.y - (down / canvas.clientHeight) * view.size);
      draw();
    } else if (event.pointerType === "mouse" && !pinned) {
      const [a, b] = at(event);
      if (a !== row || b !== column) choose(a, b);
    }
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!drag || !event.isPrimary) return;
    const clicked = !drag.moved;
    drag = null;
    if (clicked) pin(...at(event));
    else draw();
  });
  canvas.addEventListener("pointercancel", () => { drag = null; }); // the page scrolls instead
  canvas.addEventListener("dblclick", () => zoom(0.5));
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // the page scrolls; two fingers on a touchpad come as Ctrl
    event.preventDefault();
    zoomAt(event, event.deltaY < 0 ? 0.8 : 1.25);
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 10 : 1;
    const keys = {
      ArrowUp: () => pin(row - step, column), ArrowDown: () => pin(row + step, column),
      ArrowLeft: () => pin(row, column - step), ArrowRight: () => pin(row, column + step),
      "+": () => zoom(0.5, true), "=": () => zoom(0.5, true), "-": () => zoom(2, true), 0: () => zoom(size),
      Enter: () => openNearest(order[event.shiftKey ? column : row]),
    };
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented && !document.querySelector("dialog[open]")) unpin();
  });
  document.getElementById("zoom-in").addEventListener("click", () => zoom(0.5));
  document.getElementById("zoom-out").addEventListener("click", () => zoom(2));
  document.getElementById("zoom-all").addEventListener("click", () => zoom(size));
  new ResizeObserver(draw).observe(canvas);

  // Shows another matrix: like `data.matrix`, but with decoded cells.
  openMatrix = (matrix, drawn, words) => {
    ({ size, order, unit, squares, cells } = matrix);
    source = drawn;
    smallestView = Math.min(size, 8);
    view = { x: 0, y: 0, size };
    pinned = false;
    canvas.setAttribute("aria-label", words + help);
    choose(...matrix.first);
  };
  openSample = () => openMatrix(sample, sampleSource, sampleSource.alt);
  source.decode().then(openSample, openSample);
}
