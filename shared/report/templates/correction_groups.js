// What both pages show of corrected groups: titles, and the faces near a group that it does not have.

const computedName = (group) => `Group ${(group + (data.first_group ?? 1)).toLocaleString("en")}`;

// From lists of faces with the same bytes, the function that gives those of a face.
function copiesIn(lists) {
  const found = new Map(lists.flatMap((faces) => faces.map((face) => [face, faces])));
  return (face) => found.get(face) ?? [];
}

// Whether the group stands among the groups; faces alone stand among those.
const isBlock = (state, group) => !isAlone(state, group) && membersOf(state, group).length > 0;
const isShown = (state, group) => !isHidden(state, group) || document.documentElement.classList.contains("all-shown");

function titleOf(state, group) {
  const name = state.names.get(group);
  if (name) return name;
  if (group < state.base.groups) return computedName(group);
  return isAlone(state, group) ? "A face alone" : `New group ${group - madeFrom(state.base) + 1}`;
}

// The groups in the order of the page: computed ones with those made beside them, then the others.
function* blocksIn(state) {
  const beside = new Map();
  for (let group = madeFrom(state.base); group < newGroup(state); group++) {
    const slot = slotOf(state, group);
    if (!beside.has(slot)) beside.set(slot, []);
    beside.get(slot).push(group);
  }
  for (let group = 0; group < state.base.groups; group++) {
    yield group;
    yield* beside.get(group) ?? [];
  }
  yield* beside.get(null) ?? [];
}

// The groups made beside a computed one, or beside none.
function madeBeside(state, slot) {
  const found = [];
  for (let group = madeFrom(state.base); group < newGroup(state); group++) if (slotOf(state, group) === slot) found.push(group);
  return found;
}

// The groups of which the page has to show something else now.
function changedGroups(before, after) {
  const seen = (state, group) => {
    const faces = membersOf(state, group);
    return JSON.stringify([state.members.get(group) ?? null, state.names.get(group), faces.filter((face) => state.hidden.has(face))]);
  };
  const groups = new Set();
  for (const state of [before, after]) {
    for (const group of [...state.members.keys(), ...state.names.keys()]) groups.add(group);
    for (const face of state.hidden) groups.add(groupOfFace(before, face)).add(groupOfFace(after, face));
  }
  return new Set([...groups].filter((group) => seen(before, group) !== seen(after, group)));
}

const mostAsked = 2000; // faces of a group whose neighbors are looked at

// The nearest face of each group near these faces, the nearest first: { face, distance, to } with `to` among them. Groups that
// were refused are left out.
async function nearGroups(state, faces, most) {
  const own = new Set(faces.map((face) => groupOfFace(state, face)));
  const refused = new Set();
  for (const { pair: [one, other] } of state.apart.values()) {
    const [a, b] = [groupOfFace(state, one), groupOfFace(state, other)];
    if (own.has(a)) refused.add(b);
    if (own.has(b)) refused.add(a);
  }
  const best = new Map();
  for (const to of faces.slice(0, mostAsked)) {
    for (const [face, distance] of await correctable.near(to)) {
      const group = groupOfFace(state, face);
      if (own.has(group) || refused.has(group) || state.hidden.has(face)) continue;
      if (!(best.get(group)?.distance <= distance)) best.set(group, { face, distance, to });
    }
  }
  return [...best.values()].sort((one, other) => one.distance - other.distance || one.face - other.face).slice(0, most);
}

// The steps that a refusal takes: the face's group is not offered for this group again.
const refusalSteps = (state, { face, to }) => [{ do: "apart", pairs: [[faceFor(state, face), faceFor(state, to)]], said: true }];

// How many groups of two faces and more the page shows, how many groups have names, and how many are hidden.
function counts(state) {
  let groups = state.base.several;
  for (const [group, faces] of state.members) {
    const before = group < state.base.groups && state.base.membersOf(group).length > 1;
    groups += Number(faces.length > 1) - Number(before);
  }
  const hidden = [...new Set([...state.hidden].map((face) => groupOfFace(state, face)))].filter((group) => isHidden(state, group));
  const several = hidden.filter((group) => membersOf(state, group).length > 1);
  return { groups: groups - several.length, named: state.names.size, hidden: hidden.length };
}
