// Faces of the page as people.csv names them, and the other way round. `correctable.records(part)` has `recordsAPart` of them.
const recordsAPart = () => correctable.recordsAPart;
const recordParts = () => Math.ceil(correctable.base.faces / recordsAPart());

async function fieldsOf(faces) {
  const found = new Map();
  const parts = new Map();
  for (const face of faces) {
    const part = Math.floor(face / recordsAPart());
    if (!parts.has(part)) parts.set(part, []);
    parts.get(part).push(face);
  }
  for (const [part, some] of parts) {
    const { images, rows, digests, boxes } = await correctable.records(part);
    for (const face of some) {
      const at = face - part * recordsAPart();
      const sides = boxes[at].map((side) => side.toFixed(4));
      found.set(face, [images[at], String(rows[at]), digests[at], ...sides]);
    }
  }
  return found;
}

// The text of people.csv.
async function peopleText(state) {
  const stated = statementsOf(state);
  const said = [...stated, ...(await guardsOf(state, stated, correctable.near, data.threshold))];
  const fields = await fieldsOf(new Set(said.flatMap(({ face, other }) => (other === undefined ? [face] : [face, other]))));
  const { columns } = data.people;
  const rows = said.map(({ kind, face, other, person }) => {
    const row = { kind, person: person ?? "" };
    faceFields.forEach((field, k) => {
      row[field] = fields.get(face)[k];
      row[`other_${field}`] = other === undefined ? "" : fields.get(other)[k];
    });
    return columns.map((column) => row[column]);
  });
  return csvText([columns, ...rows, ...state.kept]);
}

function overlap(one, other) {
  const width = Math.min(one[2], other[2]) - Math.max(one[0], other[0]);
  const height = Math.min(one[3], other[3]) - Math.max(one[1], other[1]);
  if (width <= 0 || height <= 0) return 0;
  const area = ([left, top, right, bottom]) => (right - left) * (bottom - top);
  return (width * height) / (area(one) + area(other) - width * height);
}

// The face that a row names: of the image with the digest, or else of that name; the one whose box overlaps most, by half.
function faceNamed({ image, digest, box }, byDigest, byImage) {
  const same = (digest && byDigest.get(digest)) || [];
  const named = same.filter((face) => face.image === image);
  const first = same.length ? same.filter((face) => face.image === same[0].image) : byImage.get(image) ?? [];
  const faces = named.length ? named : first;
  if (!box) return faces.length === 1 ? faces[0].face : null;
  let best = null, most = 0.5;
  for (const face of faces) {
    const share = overlap(box, face.box);
    if (share >= most && (best === null || share > most)) [best, most] = [face.face, share];
  }
  return best;
}

// The rows of a file as statements about faces of this page, and the fields of those about faces that it does not have.
async function statementsIn(rows) {
  const references = rows.flatMap(({ face, other }) => (other ? [face, other] : [face]));
  const byDigest = new Map(references.filter(({ digest }) => digest).map(({ digest }) => [digest, []]));
  const byImage = new Map(references.map(({ image }) => [image, []]));
  for (let part = 0; part < recordParts(); part++) {
    const { images, rows: numbers, digests, boxes } = await correctable.records(part);
    images.forEach((image, at) => {
      const face = { face: part * recordsAPart() + at, image, row: numbers[at], box: boxes[at] };
      byDigest.get(digests[at])?.push(face);
      byImage.get(image)?.push(face);
    });
  }
  for (const faces of [...byDigest.values(), ...byImage.values()]) faces.sort((one, other) => one.row - other.row);
  const statements = [], missing = [];
  for (const { kind, face, other, person, fields } of rows) {
    const found = faceNamed(face, byDigest, byImage), second = other && faceNamed(other, byDigest, byImage);
    if (found === null || (other && second === null)) missing.push(fields);
    else if (kind === "person") statements.push({ kind, face: found, person });
    else if (!other) statements.push({ kind, face: found });
    else if (found !== second) statements.push({ kind, face: found, other: second });
  }
  return { statements, missing };
}
