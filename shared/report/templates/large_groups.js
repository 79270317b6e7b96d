// The list of groups, a page of it at a time as one scrolls. Pages that are far away are emptied, and keep their height.
const groupsAPage = 24, aloneAPage = 240, moreAtOnce = 240;
const groupPages = Math.ceil(groupCount / groupsAPage);
const alonePages = Math.ceil((data.faces - groupedFaces) / aloneAPage) || (data.people ? 1 : 0); // for faces taken out of groups
const pageCount = groupPages + alonePages;
const pageList = document.getElementById("group-pages");
const shownOf = new Map(); // how many faces of a group are shown, if the reader has asked for more
let firstPage = 0, endPage = 0;

// As `few` in captions.py writes it.
function strangersWords(size) {
  if (!data.strangers) return "";
  const expected = (data.strangers.faces - size) * data.strangers.rate;
  const number = expected >= 10 ? Math.round(expected).toLocaleString("en") : Number(expected.toPrecision(2)).toString();
  return `, ${data.strangers.words} ${expected > 0 && expected < 0.01 ? "less than 0.01" : number} strangers`;
}

function groupShown(group) {
  const { state } = work;
  const members = isShown(state, group) ? membersOf(state, group) : [];
  const size = members.length;
  const words = element("span", { className: "facts" }, counted(size, "face"));
  const tools = element("span", { className: "group-tools" });
  const faces = element("div", { className: "faces" });
  const more = button("", () => show(Math.min(size, faces.children.length + moreAtOnce)), { className: "more" });
  const show = (count) => {
    for (let k = faces.children.length; k < count; k++) faces.append(markFace(state, faceFigure(members[k]), members[k]));
    if (count > data.at_first) shownOf.set(group, count);
    more.textContent = `${Math.min(size - count, moreAtOnce).toLocaleString("en")} more of ${(size - count).toLocaleString("en")}`;
    more.hidden = count >= size;
  };
  show(Math.min(size, shownOf.get(group) ?? data.at_first));
  if (group < groupCount && !isChanged(state, group)) {
    if (size > 2 && hasMatrix(group)) tools.append(button("Heat map", () => showGroupMatrix(group)));
    load("groups", Math.floor(group / data.groups_a_file)).then((content) => {
      const farthest = decodeUint16(content.farthest)[group % data.groups_a_file] * data.unit;
      const person = content.people[group % data.groups_a_file];
      if (person && !correctable) title.firstChild.textContent = person;
      words.textContent = `${counted(size, "face")}${size > 1 ? `, at most ${farthest.toFixed(2)} from the first${strangersWords(size)}` : ""}`;
    }, () => {});
  }
  const title = element("h3", { tabIndex: -1 }, element("bdi", { className: "group-title" }, titleOf(state, group)), words, tools);
  if (group < groupCount) title.id = `group-${group + data.first_group}`;
  const block = element("div", { className: "group", hidden: !size }, title, faces, more);
  block.dataset.group = group;
  fillHeading(state, group, title);
  return block;
}

function groupsShown(number) {
  const first = number * groupsAPage;
  const groups = Array.from({ length: Math.min(groupsAPage, groupCount - first) }, (_, k) => first + k);
  return element("div", { className: "groups" }, ...groups.flatMap((group) => [group, ...madeBeside(work.state, group)]).map(groupShown));
}

function aloneShown(number) {
  const { state } = work;
  const alone = (face) => groupOfFace(state, face) === ownGroup(computedGroups, face) && isShown(state, ownGroup(computedGroups, face));
  const start = groupedFaces + number * aloneAPage;
  const faces = Array.from({ length: Math.min(aloneAPage, data.faces - start) }, (_, k) => start + k);
  const out = number ? [] : [...state.groupOf.keys()].filter((face) => face < groupedFaces).sort((one, other) => one - other);
  const figures = [...out, ...faces].filter(alone).map((face) => [face, markFace(state, faceFigure(face), face)]);
  const firstOut = data.faces - data.left_out; // the last ones are left out of groups
  const gridOf = (some) => element("div", { className: "faces" }, ...some.map(([, figure]) => figure));
  const grids = [gridOf(figures.filter(([face]) => face < firstOut))];
  if (data.left_out && start <= firstOut && firstOut < start + aloneAPage) {
    grids.push(element("h3", { className: "alone-title" }, "Left out", element("span", {}, counted(data.left_out, "face"))));
  }
  if (data.left_out && firstOut < start + aloneAPage) grids.push(gridOf(figures.filter(([face]) => face >= firstOut)));
  if (number) return grids;
  const total = firstOut - groupedFaces;
  const title = element("h3", { className: "alone-title" }, groupCount || data.threshold !== null ? "Alone" : "All faces", element("span", {}, counted(total, "face")));
  title.hidden = !total && !grids[0].children.length;
  if (figures.length !== Math.min(aloneAPage, data.faces - groupedFaces) || out.length) title.lastElementChild.textContent = `${counted(total, "face")} before your corrections`;
  const made = madeBeside(state, null).map(groupShown);
  return [...(made.length ? [element("div", { className: "groups" }, ...made)] : []), title, ...grids];
}

const pageShown = (number) => (number < groupPages ? [groupsShown(number)] : aloneShown(number - groupPages));

const nearby = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting && !target.children.length) {
      target.replaceChildren(...pageShown(Number(target.dataset.page)));
      target.style.minHeight = "";
    } else if (!isIntersecting && target.children.length && !target.contains(document.activeElement)) {
      target.style.minHeight = `${target.offsetHeight}px`;
      target.replaceChildren();
    }
  }
}, { rootMargin: "4000px" });

function addPage(number, before) {
  const page = element("div", { className: "group-page" }, ...pageShown(number));
  page.dataset.page = number;
  if (before) pageList.prepend(page);
  else pageList.append(page);
  nearby.observe(page);
}

const showMore = document.getElementById("groups-more"), showEarlier = document.getElementById("groups-earlier");

function buttonsShown() {
  showMore.hidden = endPage >= pageCount;
  showEarlier.hidden = firstPage === 0;
}

function nextPage() {
  if (endPage >= pageCount) return;
  addPage(endPage++, false);
  buttonsShown();
}

showMore.addEventListener("click", nextPage);
showEarlier.addEventListener("click", () => {
  addPage(--firstPage, true);
  buttonsShown();
});

let moreInSight = false;
new IntersectionObserver(([entry]) => {
  moreInSight = entry.isIntersecting;
  fillSight();
}, { rootMargin: "1200px" }).observe(showMore);

// A short page may leave the button in sight, and then nothing tells.
function fillSight() {
  if (!moreInSight || endPage >= pageCount) return;
  nextPage();
  requestAnimationFrame(() => {
    moreInSight &&= showMore.getBoundingClientRect().top < innerHeight + 1200;
    fillSight();
  });
}

function openPage(number) {
  nearby.disconnect();
  pageList.replaceChildren();
  firstPage = endPage = number;
  nextPage();
}

// The page of the list on which a group is.
function pageOf(state, group) {
  const slot = slotOf(state, group);
  if (slot !== null) return Math.floor(slot / groupsAPage);
  const place = group - groupCount;
  return groupPages + (isAlone(state, group) && place >= groupedFaces ? Math.floor((place - groupedFaces) / aloneAPage) : 0);
}

// Shows the page with a group, and returns its block, or the figure of a face alone.
function reveal(state, group) {
  const number = pageOf(state, group);
  if (number < firstPage || number >= endPage) openPage(number);
  const page = pageList.children[number - firstPage];
  if (!page.children.length) page.replaceChildren(...pageShown(number));
  if (isAlone(state, group)) return pageList.querySelector(`[data-face="${group - groupCount}"]`)?.closest("figure");
  return pageList.querySelector(`[data-group="${group}"]`);
}

function openGroup(group) {
  const { state } = work;
  // The faces of a group that was joined to another are there.
  const there = membersOf(state, group).length ? group : groupOfFace(state, state.base.membersOf(group)[0]);
  const shown = reveal(state, there);
  const title = shown?.querySelector("h3, a");
  if (!title) return;
  title.scrollIntoView({ behavior: "instant", block: "start" });
  title.focus({ preventScroll: true });
}

function refreshGroups(state, groups) {
  let alone = false;
  for (const group of [...groups].sort((one, other) => one - other)) {
    const block = pageList.querySelector(`[data-group="${group}"]`), slot = slotOf(state, group);
    alone ||= slot === null;
    if (group < groupCount) block?.replaceWith(groupShown(group));
    else {
      block?.remove();
      const beside = slot === null ? [] : [slot, ...madeBeside(state, slot).filter((other) => other < group)];
      const before = beside.map((other) => pageList.querySelector(`[data-group="${other}"]`)).filter(Boolean).pop();
      if (!isAlone(state, group)) before?.after(groupShown(group));
    }
  }
  for (const page of pageList.children) {
    const number = Number(page.dataset.page);
    if (alone && number >= groupPages && page.children.length) page.replaceChildren(...pageShown(number));
  }
}

const groupNumber = document.getElementById("group-number");
document.getElementById("group-form")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const group = groupNumber.valueAsNumber - data.first_group;
  if (Number.isInteger(group) && group >= 0 && group < groupCount) openGroup(group);
});

buttonsShown();

if (data.people) {
  correctable = {
    base: computedGroups,
    recordsAPart: data.faces_a_file,
    records: (part) => load("records", part).catch(() => { throw new Error("the files beside this page cannot be read"); }),
    near: async (place) => (data.neighbors ? [...(await nearestTo(place, "outside")), ...(await nearestTo(place))] : []),
    nameOf: async (place) => (await faceAt(place)).name,
    thumb: thumbOf,
    figure: (place) => pageList.querySelector(`[data-face="${place}"]`)?.closest("figure"),
    refresh: refreshGroups,
    reveal,
  };
}
