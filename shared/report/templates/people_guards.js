// Pairs that keep groups as the reader has left them. A program that groups with people.csv joins what is near: without them
// it would join what the reader has split off, and has given no name, to the next group.
async function guardsOf(state, statements, near, threshold) {
  const between = new Set(); // pairs of groups that are told apart
  const told = new Set(); // groups, and faces that they are told apart from
  for (const { kind, face, other } of statements) {
    if (kind !== "different") continue;
    const [one, two] = [groupOfFace(state, face), groupOfFace(state, other)];
    between.add(pairKey(one, two));
    told.add(`${one}: ${other}`).add(`${two}: ${face}`);
  }
  // Whether the statements hold all faces of the group together, so that one pair is enough.
  const isHeld = (group) => (state.names.has(group)
    ? statedFaces(state, group).length === membersOf(state, group).length : isChanged(state, group));
  const found = [];
  for (const group of state.members.keys()) {
    if (state.names.has(group) || !isChanged(state, group)) continue;
    for (const face of membersOf(state, group)) {
      for (const [other, distance] of await near(face)) {
        const to = groupOfFace(state, other), key = pairKey(group, to);
        if (to === group || distance > threshold || told.has(`${group}: ${other}`) || (isHeld(to) && between.has(key))) continue;
        told.add(`${group}: ${other}`).add(`${to}: ${face}`);
        between.add(key);
        found.push({ kind: "different", face, other });
      }
    }
  }
  return found;
}
