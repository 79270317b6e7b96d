// What the reader can do to groups, as steps (`corrections.js`), and what they contradict.

// Pairs said to be different, of which a move would put both faces into one group.
function contradicted(state, faces, to) {
  const moving = new Set(faces);
  const after = (face) => (moving.has(face) ? to : groupOfFace(state, face));
  const now = (face) => groupOfFace(state, face);
  return [...state.apart.values()].filter(({ pair: [one, other] }) => after(one) === after(other) && now(one) !== now(other));
}

// The faces, and those with the same bytes, which are always in one group.
function withCopies(state, faces) {
  return [...new Set(faces.flatMap((face) => [face, ...state.base.copiesOf(face)]))];
}

// Moves faces to a group. `refusals` are pairs that the reader has said are different, `names` the different names that come
// together: both are to be asked about.
function moveFaces(state, faces, to) {
  const coming = withCopies(state, faces).filter((face) => groupOfFace(state, face) !== to);
  if (!coming.length) return { steps: [], refusals: [], names: [] };
  const against = contradicted(state, coming, to);
  const whole = [], left = [];
  const leaving = new Set(coming);
  for (const group of new Set(coming.map((face) => groupOfFace(state, face)))) {
    const stay = membersOf(state, group).find((face) => !leaving.has(face));
    if (stay === undefined) whole.push(group);
    else left.push([coming.find((face) => groupOfFace(state, face) === group), stay]);
  }
  const names = new Set([to, ...whole].map((group) => state.names.get(group)).filter(Boolean));
  const confirmed = state.names.has(to) ? coming : [...membersOf(state, to), ...coming];
  const hidden = coming.filter((face) => state.hidden.has(face));
  return {
    steps: [
      ...(against.length ? [{ do: "unsay", pairs: against.map(({ pair }) => pair) }] : []),
      { do: "move", faces: coming, to },
      ...(names.size ? [{ do: "name", group: to, name: [...names][0] }, { do: "confirm", faces: confirmed }] : []),
      ...(left.length ? [{ do: "apart", pairs: left, said: false }] : []),
      ...(hidden.length ? [{ do: "show", faces: hidden }] : []),
    ],
    refusals: against.filter(({ said }) => said).map(({ pair }) => pair),
    names: [...names],
  };
}

// The same for a group that may be of one face: then both become a new one.
function joinGroup(state, faces, to) {
  if (isAlone(state, to)) return togetherSteps(state, [...new Set([...membersOf(state, to), ...faces])]);
  return { ...moveFaces(state, faces, to), to };
}

// Makes one group of faces: the largest of the groups that come whole stays, else it is a new one.
function togetherSteps(state, chosen) {
  const faces = withCopies(state, chosen);
  const moving = new Set(faces);
  const whole = [...new Set(faces.map((face) => groupOfFace(state, face)))]
    .filter((group) => membersOf(state, group).every((face) => moving.has(face)));
  const blocks = whole.filter((group) => !isAlone(state, group));
  const best = (groups) => groups.reduce((one, other) => (membersOf(state, other).length > membersOf(state, one).length ? other : one));
  const first = blocks.filter((group) => state.names.has(group));
  const kept = first.length ? best(first) : blocks.length ? best(blocks) : newGroup(state);
  return { ...moveFaces(state, faces, kept), to: kept };
}

// Takes each of the faces out of its group, but for copies, which stay together.
function aloneSteps(state, chosen) {
  const leaving = new Set(withCopies(state, chosen).filter((face) => membersOf(state, groupOfFace(state, face)).length > 1));
  const list = [];
  let next = newGroup(state);
  for (const group of new Set([...leaving].map((face) => groupOfFace(state, face)))) {
    const members = membersOf(state, group);
    const going = [...new Set(members.filter((face) => leaving.has(face)).map((face) => withCopies(state, [face]).sort((one, other) => one - other).join()))]
      .map((copies) => copies.split(",").map(Number));
    const stay = members.find((face) => !leaving.has(face)) ?? going.shift()[0]; // the last ones are alone then
    for (const faces of going) {
      const to = faces.length > 1 ? next++ : ownGroup(state.base, faces[0]);
      list.push({ do: "move", faces, to }, { do: "apart", pairs: [[faces[0], stay]], said: false });
    }
  }
  return list;
}
