// Corrections as statements about faces, which are the rows of people.csv, and back.
// A statement is { kind: "person", face, person }, { kind: "same" or "different", face, other } or { kind: "hidden", face }.

// As few as let a program that groups with them find the groups of the page.
function statementsOf(state) {
  const found = [];
  const stated = new Set([...state.members.keys(), ...state.names.keys()]
    .filter((group) => membersOf(state, group).length && (state.names.has(group) || isChanged(state, group))));
  for (const group of [...stated].sort((one, other) => one - other)) {
    const faces = membersOf(state, group), person = state.names.get(group);
    if (person) found.push(...statedFaces(state, group).map((face) => ({ kind: "person", face, person })));
    else for (let k = 1; k < faces.length; k++) found.push({ kind: "same", face: faces[k - 1], other: faces[k] });
  }
  for (const [face, other] of state.joined.values()) {
    const group = groupOfFace(state, face);
    if (group === groupOfFace(state, other) && !stated.has(group)) found.push({ kind: "same", face, other });
  }
  found.push(...differences(state, stated));
  for (const face of [...state.hidden].sort((one, other) => one - other)) found.push({ kind: "hidden", face });
  return found;
}

// The faces of a person that are said to be this person: suggestions stay suggestions, but for those that a file has brought
// here from another group, since a program that groups may see that in another way.
function statedFaces(state, group) {
  const faces = membersOf(state, group);
  const stated = faces.filter((face) => state.confirmed.has(face) || state.base.groupOf(face) !== group);
  return stated.length ? stated : faces;
}

// What the reader has said, without what follows from it.
const saidIn = (state) => statementsOf(state).filter(({ kind, face }) => kind !== "person" || state.confirmed.has(face));

// A face that stands for the group of this one: of a person, not one that is a suggestion.
function faceFor(state, face) {
  const group = groupOfFace(state, face);
  return isSuggested(state, face) ? statedFaces(state, group)[0] : face;
}

// The pairs that the reader has refused, and one for each two groups that were one when they were computed.
function differences(state, stated) {
  const found = [];
  const between = new Set(); // groups
  const bothNamed = (one, other) => state.names.has(one) && state.names.has(other);
  const say = (face, other, said) => {
    const [one, two] = [groupOfFace(state, face), groupOfFace(state, other)];
    const key = pairKey(one, two);
    if (one === two || (!said && (between.has(key) || bothNamed(one, two)))) return;
    between.add(key);
    found.push({ kind: "different", face, other });
  };
  const pairs = [...state.apart.values()];
  for (const { pair, said } of pairs) if (said) say(...pair, true);
  for (const { pair: [one, other], said } of pairs) if (!said) say(faceFor(state, one), faceFor(state, other), false);
  const parts = new Map(); // by computed group: the first face in each group that has some of it
  for (const group of stated) {
    const seen = new Set();
    for (const face of membersOf(state, group)) {
      const computed = state.base.groupOf(face);
      if (seen.has(computed)) continue;
      seen.add(computed);
      if (!parts.has(computed)) parts.set(computed, []);
      parts.get(computed).push(face);
    }
  }
  for (const faces of parts.values()) {
    for (let k = 1; k < faces.length; k++) for (let j = 0; j < k; j++) say(faceFor(state, faces[j]), faceFor(state, faces[k]), false);
  }
  return found;
}

// Faces that statements put together: sets with at most one name, none of which holds a pair that is different.
function togetherSets(base, statements) {
  const parent = new Map(), nameOf = new Map(), firstOf = new Map();
  const differing = statements.filter(({ kind }) => kind === "different");
  let contradictions = 0;
  const root = (face) => {
    if (!parent.has(face)) parent.set(face, face);
    let at = face;
    while (parent.get(at) !== at) at = parent.get(at);
    for (let next = face; next !== at;) [next] = [parent.get(next), parent.set(next, at)];
    return at;
  };
  const unite = (one, other) => {
    const [a, b] = [root(one), root(other)];
    if (a === b) return;
    const names = [nameOf.get(a), nameOf.get(b)].filter(Boolean);
    if (names.length === 2 && names[0] !== names[1]) {
      contradictions += 1;
      return;
    }
    parent.set(b, a);
    if (names.length) nameOf.set(a, names[0]);
  };
  for (const { face, other } of statements) {
    for (const one of other === undefined ? [face] : [face, other]) {
      for (const copy of base.copiesOf(one)) if (copy !== one) unite(one, copy);
    }
  }
  for (const { kind, face, person } of statements) {
    if (kind !== "person") continue;
    const at = root(face), name = nameOf.get(at);
    if (name && name !== person) contradictions += 1;
    else if (firstOf.has(person)) unite(firstOf.get(person), face);
    else {
      nameOf.set(at, person);
      firstOf.set(person, face);
    }
  }
  for (const { kind, face, other } of statements) if (kind === "same") unite(face, other);
  const sets = new Map();
  for (const face of parent.keys()) {
    const at = root(face);
    if (!sets.has(at)) sets.set(at, { faces: [], name: nameOf.get(at) });
    sets.get(at).faces.push(face);
  }
  const apart = differing.filter(({ face, other }) => !parent.has(face) || !parent.has(other) || root(face) !== root(other));
  return { sets: [...sets.values()], apart, contradictions: contradictions + differing.length - apart.length };
}

// The steps that make the statements true of the computed groups, and how many were left out since they contradict earlier
// ones. Faces of a computed group stay together unless a statement says otherwise.
function stepsFrom(base, statements) {
  const { sets, apart, contradictions } = togetherSets(base, statements);
  const list = [];
  const setOf = new Map(); // by face
  const shares = []; // how much of a computed group a set has
  for (const set of sets) {
    const counts = new Map();
    for (const face of set.faces) {
      setOf.set(face, set);
      const computed = base.groupOf(face);
      counts.set(computed, (counts.get(computed) ?? 0) + 1);
    }
    for (const [group, count] of counts) if (group < base.groups) shares.push({ set, group, count });
  }
  const holder = new Map(); // by computed group: the set with most of it, with which its other faces go
  for (const { set, group } of shares.sort((one, other) => other.count - one.count)) {
    if (holder.has(group)) continue;
    holder.set(group, set);
    set.group ??= group;
  }
  let next = madeFrom(base);
  for (const set of sets) {
    if (set.group === undefined) set.group = set.faces.length === 1 ? ownGroup(base, set.faces[0]) : next++;
    const coming = set.faces.filter((face) => base.groupOf(face) !== set.group);
    if (coming.length) list.push({ do: "move", faces: coming, to: set.group });
  }
  const left = new Set();
  for (const { face, other } of apart) {
    for (const [loose, against] of [[face, other], [other, face]]) {
      const computed = base.groupOf(loose);
      const withIt = setOf.has(against) ? setOf.get(against) === holder.get(computed) : base.groupOf(against) === computed && !left.has(against);
      if (setOf.has(loose) || left.has(loose) || !withIt || computed >= base.groups) continue;
      if (!setOf.has(against) && loose === face) continue; // of two that nothing holds, the second leaves
      left.add(loose);
      list.push({ do: "move", faces: [loose], to: ownGroup(base, loose) });
    }
  }
  for (const [group, set] of holder) {
    const others = set.group === group ? [] : base.membersOf(group).filter((face) => !setOf.has(face) && !left.has(face));
    if (others.length) list.push({ do: "move", faces: others, to: set.group });
  }
  for (const { name, group, faces } of sets) if (name) list.push({ do: "name", group, name }, { do: "confirm", faces });
  if (apart.length) list.push({ do: "apart", pairs: apart.map(({ face, other }) => [face, other]), said: true });
  const joined = statements.filter(({ kind, face, other }) => kind === "same" && setOf.get(face) === setOf.get(other));
  if (joined.length) list.push({ do: "join", pairs: joined.map(({ face, other }) => [face, other]) });
  const hidden = statements.filter(({ kind }) => kind === "hidden").map(({ face }) => face);
  if (hidden.length) list.push({ do: "hide", faces: hidden });
  return { steps: list, contradictions };
}
