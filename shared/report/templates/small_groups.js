// The groups of a page that holds all faces, as they are corrected. Each face has one figure, which moves.
function smallPage(people) {
  const numbers = new Map(); // by face, of those in computed groups
  people.groups.forEach((faces, group) => faces.forEach((face) => numbers.set(face, group)));
  const base = {
    faces: data.names.length,
    groups: people.groups.length,
    several: people.groups.filter((faces) => faces.length > 1).length,
    copiesOf: copiesIn(people.copies),
    groupOf: (face) => numbers.get(face) ?? people.groups.length + face,
    membersOf: (group) => {
      if (group < people.groups.length) return people.groups[group];
      return numbers.has(group - people.groups.length) ? [] : [group - people.groups.length];
    },
  };
  const outside = decodeNumbers(people.outside.faces, 4), outsideFar = decodeUint16(people.outside.distances);
  const { count: outsides, unit } = people.outside;
  return {
    base,
    recordsAPart: base.faces,
    records: async () => people.records,
    near: async (face) => {
      const found = [];
      for (let k = face * outsides; k < (face + 1) * outsides; k++) if (outside[k] < base.faces) found.push([outside[k], outsideFar[k] * unit]);
      const count = data.neighbors?.count ?? 0;
      for (let k = face * count; k < (face + 1) * count; k++) found.push([near[k], far[k] * data.neighbors.unit]);
      return found;
    },
    nameOf: async (face) => data.names[face],
    thumb: picture,
    figure: (face) => document.getElementById(`face-${face}`),
    ...smallBlocks(base),
  };
}

function smallBlocks(base) {
  const atOnce = 24;
  const section = document.getElementById("groups");
  const blocks = new Map([...section.querySelectorAll("[data-group]")].map((block) => [Number(block.dataset.group), block]));
  const grids = new Map(); // of the faces that were alone
  for (const grid of section.querySelectorAll(".alone .faces")) for (const { id } of grid.children) grids.set(Number(id.slice(5)), grid);
  const lists = section.querySelectorAll(".groups");
  let aloneGrid = section.querySelector(".alone:not(.left-out) .faces");

  function newBlock(group) {
    const block = element("div", { className: "group" }, element("h3", {}, element("bdi", { className: "group-title" })), element("div", { className: "faces" }));
    block.dataset.group = group;
    blocks.set(group, block);
    return block;
  }

  // A group made here stands behind the computed one that it came from, and those made before it.
  function placeBlock(state, group, block) {
    const slot = slotOf(state, group);
    if (block.dataset.slot === String(slot)) return;
    block.dataset.slot = String(slot);
    const before = madeBeside(state, slot).filter((other) => other < group && blocks.has(other)).pop() ?? slot;
    if (before === null) lists[0].append(block);
    else blocks.get(before).after(block);
  }

  function fillBlock(state, group) {
    const faces = isShown(state, group) ? membersOf(state, group) : [];
    const block = blocks.get(group) ?? (faces.length ? newBlock(group) : null);
    if (!block) return;
    if (group >= base.groups) placeBlock(state, group, block);
    block.hidden = !faces.length;
    fillHeading(state, group, block.querySelector("h3"));
    const figures = faces.map(correctable.figure);
    const grid = block.querySelector(".faces");
    grid.append(...figures.slice(0, atOnce));
    let more = block.querySelector("details");
    if (!more && faces.length > atOnce) {
      more = element("details", {}, element("summary"), element("div", { className: "faces" }));
      block.append(more);
    }
    if (more) {
      more.hidden = faces.length <= atOnce;
      more.firstElementChild.textContent = `${(faces.length - atOnce).toLocaleString("en")} more`;
      more.lastElementChild.append(...figures.slice(atOnce));
    }
  }

  function showAlone(face) {
    const figure = correctable.figure(face);
    if (!aloneGrid) {
      aloneGrid = element("div", { className: "faces" });
      section.append(element("div", { className: "alone" }, element("h3", {}, "Alone ", element("span")), aloneGrid));
    }
    const grid = grids.get(face) ?? aloneGrid;
    grid.insertBefore(figure, [...grid.children].find(({ id }) => Number(id.slice(5)) > face) ?? null);
  }

  function countAlone(state) {
    for (const part of section.querySelectorAll(".alone")) {
      const faces = [...part.querySelectorAll("figure")].map(({ id }) => Number(id.slice(5)));
      const shown = faces.filter((face) => isShown(state, ownGroup(base, face)));
      part.querySelector("h3 span").textContent = counted(shown.length, "face");
    }
  }

  return {
    refresh(state, groups) {
      for (const group of groups) {
        if (!isAlone(state, group)) fillBlock(state, group);
        else if (membersOf(state, group).length) showAlone(group - base.groups);
      }
      countAlone(state);
    },
    reveal(state, group) {
      const block = isAlone(state, group) ? correctable.figure(group - base.groups) : blocks.get(group);
      for (let at = block; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
      return block;
    },
  };
}

if (data.people) correctable = smallPage(data.people);
