// people.csv: rows as text, and back (RFC 4180). A file that cannot be used is an Error whose message is a sentence.
const faceFields = ["image", "face", "blake2b", "left", "top", "right", "bottom"];
const kinds = ["person", "same", "different", "hidden"];
const mostNameCharacters = 200;
const controls = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;

const quoted = (field) => (/[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field);
const csvText = (rows) => rows.map((row) => `${row.map(quoted).join(",")}\n`).join("");

// A name in the form in which names are compared. An Error says why it is none.
function personName(text) {
  const name = text.normalize("NFC").trim();
  if (!name) throw new Error("the name is empty");
  if ([...name].length > mostNameCharacters) throw new Error(`the name has ${[...name].length} characters, and ${mostNameCharacters} are allowed`);
  if (controls.test(name)) throw new Error("the name has line ends or control characters");
  return name;
}

function* csvRows(text) {
  let at = text.startsWith("\ufeff") ? 1 : 0, line = 1;
  while (at < text.length) {
    const row = [], first = line;
    for (let more = true; more;) {
      let field = "";
      if (text[at] === '"') {
        for (;;) {
          const end = text.indexOf('"', at + 1);
          if (end < 0) throw new Error(`line ${first}: a quotation mark is not closed`);
          field += text.slice(at + 1, end);
          at = end + 1;
          if (text[at] !== '"') break;
          field += '"';
        }
        line += field.split("\n").length - 1;
        if (at < text.length && !",\r\n".includes(text[at])) throw new Error(`line ${line}: text follows a closed quotation mark`);
      } else {
        const end = at + text.slice(at).search(/[,\r\n]|$/);
        field = text.slice(at, end);
        at = end;
      }
      row.push(field);
      more = text[at] === ",";
      if (more) at += 1;
    }
    if (text[at] === "\r") at += 1;
    if (text[at] === "\n") at += 1;
    line += 1;
    yield { line: first, row };
  }
}

function referenceIn(row, prefix) {
  const value = (field) => row[prefix + field] ?? "";
  const image = value("image"), digest = value("blake2b").trim().toLowerCase();
  if (!image) throw new Error(`\`${prefix}image\` is empty`);
  if (digest && !/^[0-9a-f]{32}$/.test(digest)) throw new Error(`\`${prefix}blake2b\` is not 32 hexadecimal digits`);
  const sides = faceFields.slice(3).map(value);
  if (sides.every((side) => !side.trim())) return { image, digest, box: null };
  const box = sides.map((side) => (side.trim() ? Number(side) : NaN));
  if (!box.every((side) => Math.abs(side) <= 2 ** 31)) throw new Error(`\`${prefix}left\`, \`top\`, \`right\`, \`bottom\` are to be four numbers, or all empty`);
  if (box[0] >= box[2] || box[1] >= box[3]) throw new Error(`the box ${box.join(",")} has no area`);
  return { image, digest, box };
}

// { kind, face, other, person, fields } for each row: faces as { image, digest, box }, `fields` in the order of `columns`.
function readPeople(text, columns) {
  const found = [];
  let head = null;
  for (const { line, row } of csvRows(text)) {
    if (!head) {
      head = row.map((column) => column.trim());
      const missing = ["kind", "image"].find((column) => !head.includes(column));
      if (missing) throw new Error(`it has no column \`${missing}\` in its first line`);
      const twice = columns.find((column) => head.indexOf(column) !== head.lastIndexOf(column));
      if (twice) throw new Error(`it has the column \`${twice}\` twice`);
      continue;
    }
    if (row.every((field) => !field)) continue;
    try {
      if (row.length !== head.length) throw new Error(`${row.length} fields, and the first line has ${head.length}`);
      found.push(personRow(Object.fromEntries(head.map((column, k) => [column, row[k]])), columns));
    } catch (error) {
      throw new Error(`line ${line}: ${error.message}`);
    }
  }
  if (!head) throw new Error("it is empty");
  return found;
}

function personRow(row, columns) {
  const kind = row.kind.trim(), person = row.person ?? "";
  if (!kinds.includes(kind)) throw new Error(`the kind is \`${kind.slice(0, 60)}\`, and not one of ${kinds.join(", ")}`);
  if (kind !== "person" && person.trim()) throw new Error(`it names a person, and the kind is \`${kind}\``);
  const pair = kind === "same" || kind === "different";
  if (!pair && faceFields.some((field) => (row[`other_${field}`] ?? "").trim())) throw new Error(`it has a second face, and the kind \`${kind}\` is about one`);
  return {
    kind,
    face: referenceIn(row, ""),
    other: pair ? referenceIn(row, "other_") : null,
    person: kind === "person" ? personName(person) : "",
    fields: columns.map((column) => row[column] ?? ""),
  };
}
