// Groups as a person has corrected them, without a page. Faces are numbers from 0, and so are groups: those below `base.groups`
// are computed, `base.groups + face` is that face alone, and higher ones were made here. `base` says what was computed:
// `faces` and `groups` are counts, `groupOf(face)` is a group, `membersOf(group)` the faces of one,
// `copiesOf(face)` the faces with the same bytes.

function uncorrected(base) {
  return {
    base,
    members: new Map(), // by group, of those that moves have changed
    groupOf: new Map(), // by face, of those that were moved
    names: new Map(), // by group
    confirmed: new Set(), // faces that are said to be the person whose name their group has
    hidden: new Set(), // faces
    apart: new Map(), // pairs of faces that are not of one person, by their key; `said` if the reader has said so
    joined: new Map(), // pairs that a file says are of one person
    slots: new Map(), // by group made here: the computed group it stands beside
    made: 0,
    kept: [], // rows of a file about faces that this page does not have
  };
}

const pairKey = (one, other) => (one < other ? `${one} ${other}` : `${other} ${one}`);
const groupOfFace = (state, face) => state.groupOf.get(face) ?? state.base.groupOf(face);
const membersOf = (state, group) => state.members.get(group) ?? (group < madeFrom(state.base) ? state.base.membersOf(group) : []);
const ownGroup = (base, face) => base.groups + face;
const madeFrom = (base) => base.groups + base.faces;
const newGroup = (state) => madeFrom(state.base) + state.made;
const isHidden = (state, group) => state.hidden.size > 0 && membersOf(state, group).every((face) => state.hidden.has(face));

// The computed group beside which a group is shown; null for faces that were alone.
function slotOf(state, group) {
  if (group < state.base.groups) return group;
  return state.slots.get(group) ?? null;
}

// Whether the group has other faces than the computed one.
function isChanged(state, group) {
  const now = state.members.get(group), { base } = state;
  if (!now) return false;
  if (group >= base.groups) return now.length > 0 && base.groupOf(now[0]) !== group;
  return now.length !== base.membersOf(group).length || now.some((face) => base.groupOf(face) !== group);
}

// Whether the face is in the group of a person only since it is near.
const isSuggested = (state, face) => state.names.has(groupOfFace(state, face)) && !state.confirmed.has(face);

// Whether a row of people.csv hides a face.
const isHiding = (row) => row[data.people.columns.indexOf("kind")] === "hidden";

// Whether the group is that of one face, which no other can join.
const isAlone = (state, group) => group >= state.base.groups && group < madeFrom(state.base);

const steps = {
  move(state, { faces, to }) {
    const slot = slotOf(state, groupOfFace(state, faces[0]));
    const leaving = new Set(faces);
    for (const from of new Set(faces.map((face) => groupOfFace(state, face)))) {
      state.members.set(from, membersOf(state, from).filter((face) => !leaving.has(face)));
    }
    if (to >= madeFrom(state.base) && !state.slots.has(to) && slot !== null) state.slots.set(to, slot);
    state.members.set(to, [...membersOf(state, to), ...faces]);
    for (const face of faces) {
      state.groupOf.set(face, to);
      state.confirmed.delete(face); // of the person of another group
    }
    state.made = Math.max(state.made, to - madeFrom(state.base) + 1);
    for (const [group] of state.names) if (!membersOf(state, group).length) state.names.delete(group);
  },
  name(state, { group, name }) {
    if (name) state.names.set(group, name);
    else state.names.delete(group);
  },
  confirm: (state, { faces }) => faces.forEach((face) => state.confirmed.add(face)),
  hide: (state, { faces }) => faces.forEach((face) => state.hidden.add(face)),
  show: (state, { faces }) => faces.forEach((face) => state.hidden.delete(face)),
  apart(state, { pairs, said }) {
    for (const [one, other] of pairs) {
      const key = pairKey(one, other);
      state.apart.set(key, { pair: [one, other], said: said || (state.apart.get(key)?.said ?? false) });
    }
  },
  unsay: (state, { pairs }) => pairs.forEach(([one, other]) => state.apart.delete(pairKey(one, other))),
  join: (state, { pairs }) => pairs.forEach((pair) => state.joined.set(pairKey(...pair), pair)),
  keep: (state, { rows }) => state.kept.push(...rows),
  unhide: (state) => { state.kept = state.kept.filter((row) => !isHiding(row)); },
  reset: (state) => Object.assign(state, uncorrected(state.base)),
};

function applySteps(state, list) {
  for (const step of list) steps[step.do](state, step);
  return state;
}

// Whether a value from the browser's storage is a step on such faces.
function isStep(base, step) {
  const face = (value) => Number.isInteger(value) && value >= 0 && value < base.faces;
  const group = (value) => Number.isInteger(value) && value >= 0 && value < madeFrom(base) + 1e6;
  const faces = (value) => Array.isArray(value) && value.length > 0 && value.every(face);
  const pairs = (value) => Array.isArray(value) && value.every((pair) => Array.isArray(pair) && pair.length === 2 && pair.every(face));
  const checks = {
    move: () => faces(step.faces) && group(step.to) && (step.to < base.groups || step.to >= madeFrom(base) || step.faces.join() === String(step.to - base.groups)),
    name: () => group(step.group) && typeof step.name === "string",
    confirm: () => faces(step.faces),
    hide: () => faces(step.faces),
    show: () => faces(step.faces),
    apart: () => pairs(step.pairs),
    unsay: () => pairs(step.pairs),
    join: () => pairs(step.pairs),
    keep: () => Array.isArray(step.rows) && step.rows.every((row) => Array.isArray(row) && row.every((field) => typeof field === "string")),
    unhide: () => true,
    reset: () => true,
  };
  return Boolean(step) && Object.hasOwn(checks, step.do) && checks[step.do]();
}
