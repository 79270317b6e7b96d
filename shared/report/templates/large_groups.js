// The list of groups, a page of it at a time as one scrolls. Pages that are far away are emptied, and keep their height.
const groupsAPage = 24, aloneAPage = 240, moreAtOnce = 240;
const groupPages = Math.ceil(groupCount / groupsAPage);
const pageCount = groupPages + Math.ceil((data.faces - groupedFaces) / aloneAPage);
const pageList = document.getElementById("group-pages");
const shownOf = new Map(); // how many faces of a group are shown, if the reader has asked for more
let firstPage = 0, endPage = 0;

function groupShown({ group, size, start }) {
  const words = element("span", {}, counted(size, "face"));
  const tools = element("span", { className: "group-tools" });
  if (size > 2 && hasMatrix(group)) tools.append(button("Heat map", () => showGroupMatrix(group)));
  const faces = element("div", { className: "faces" });
  const more = button("", () => show(Math.min(size, faces.children.length + moreAtOnce)), { className: "more" });
  const show = (count) => {
    for (let k = faces.children.length; k < count; k++) faces.append(faceFigure(start + k));
    if (count > data.at_first) shownOf.set(group, count);
    more.textContent = `${Math.min(size - count, moreAtOnce).toLocaleString("en")} more of ${(size - count).toLocaleString("en")}`;
    more.hidden = count >= size;
  };
  show(Math.min(size, shownOf.get(group) ?? data.at_first));
  load("groups", Math.floor(group / data.groups_a_file)).then((content) => {
    const farthest = decodeUint16(content.farthest)[group % data.groups_a_file] * data.unit;
    const person = content.people[group % data.groups_a_file];
    if (person) title.firstChild.replaceWith(element("bdi", {}, person));
    const number = person ? `${groupName(group)}, ` : "";
    words.textContent = `${number}${counted(size, "face")}${size > 1 ? `, at most ${farthest.toFixed(2)} from the first` : ""}`;
  }, () => {});
  const title = element("h3", { id: `group-${group + data.first_group}`, tabIndex: -1 }, groupName(group), words, tools);
  return element("div", { className: "group" }, title, faces, more);
}

function pageShown(number) {
  if (number < groupPages) {
    const first = number * groupsAPage;
    const groups = Array.from({ length: Math.min(groupsAPage, groupCount - first) }, (_, k) => groupShown(groupAt(first + k)));
    return [element("div", { className: "groups" }, ...groups)];
  }
  const start = groupedFaces + (number - groupPages) * aloneAPage;
  const faces = Array.from({ length: Math.min(aloneAPage, data.faces - start) }, (_, k) => faceFigure(start + k));
  const grid = element("div", { className: "faces" }, ...faces);
  if (number > groupPages) return [grid];
  const title = groupCount || data.threshold !== null ? "Alone" : "All faces";
  return [element("h3", { className: "alone-title" }, title, element("span", {}, counted(data.faces - groupedFaces, "face"))), grid];
}

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

function openGroup(group) {
  const number = Math.floor(group / groupsAPage);
  if (number < firstPage || number >= endPage) openPage(number);
  const page = pageList.children[number - firstPage];
  if (!page.children.length) page.replaceChildren(...pageShown(number));
  const title = document.getElementById(`group-${group + data.first_group}`);
  title.scrollIntoView({ behavior: "instant", block: "start" });
  title.focus({ preventScroll: true });
}

const groupNumber = document.getElementById("group-number");
document.getElementById("group-form")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const group = groupNumber.valueAsNumber - data.first_group;
  if (Number.isInteger(group) && group >= 0 && group < groupCount) openGroup(group);
});

buttonsShown();
