// What is asked while groups are corrected: which group, which name, and whether to go against what was said before.
const correctDialog = document.getElementById("correct-dialog");
const askDialog = document.getElementById("ask-dialog");

function openCorrectDialog(title, ...content) {
  document.getElementById("correct-dialog-title").textContent = title;
  correctDialog.lastElementChild.replaceChildren(...content);
  if (!correctDialog.open) correctDialog.showModal();
  correctDialog.scrollTop = 0;
}

// A field that has the focus opens the keyboard of a phone, which hides the rest.
function focusIn(input) {
  (matchMedia("(pointer: coarse)").matches ? document.getElementById("correct-dialog-title") : input).focus();
}

// The number of the chosen answer; null if the reader leaves it.
function ask(question, answers) {
  return new Promise((resolve) => {
    let chosen = null;
    const buttons = answers.map((answer, k) => button(answer, () => {
      chosen = k;
      askDialog.close();
    }));
    buttons.push(button("Cancel", () => askDialog.close()));
    askDialog.firstElementChild.textContent = question;
    askDialog.lastElementChild.replaceChildren(...buttons);
    askDialog.addEventListener("close", () => resolve(chosen), { once: true });
    askDialog.showModal();
    buttons.at(-1).focus();
  });
}

// Does what `joinGroup` and the like have planned, after asking about what it contradicts. Whether it was done.
async function carryOut(plan, words) {
  if (plan.refusals.length) {
    const [one, other] = await Promise.all(plan.refusals[0].map(correctable.nameOf));
    const more = plan.refusals.length > 1 ? ` (and ${counted(plan.refusals.length - 1, "other pair")})` : "";
    const question = `It was said that ${one} and ${other} are not the same person${more}. Put them together all the same?`;
    if ((await ask(question, ["Put them together"])) === null) return false;
  }
  const list = [...plan.steps];
  if (plan.names.length > 1) {
    const answer = await ask("These groups have different names. Which one is right?", plan.names);
    if (answer === null) return false;
    list.push({ do: "name", group: plan.to, name: plan.names[answer] });
  }
  commit(list, words(list));
  return true;
}

// `2 faces`, or with copies that go where they go `2 faces (and 1 copy)`.
function facesWords(faces) {
  const copies = withCopies(work.state, faces).length - faces.length;
  return `${counted(faces.length, "face")}${copies ? ` (and ${copies === 1 ? "1 copy" : `${copies} copies`})` : ""}`;
}

function finalName(list, to) {
  return list.findLast((step) => step.do === "name" && step.group === to)?.name ?? titleOf(work.state, to);
}

const moveTo = (faces, to) => {
  const plan = joinGroup(work.state, faces, to);
  return carryOut(plan, (list) => `${facesWords(faces)} moved to ${finalName(list, plan.to)}.`);
};

async function setName(group, text) {
  const { state } = work;
  if (!text.trim()) {
    commit(state.names.has(group) ? [{ do: "name", group, name: "" }] : [], `${titleOf(state, group)} has no name now.`);
    return true;
  }
  const name = personName(text);
  const other = [...state.names].find(([named, used]) => used === name && named !== group)?.[0];
  if (other === undefined) {
    commit([{ do: "name", group, name }, { do: "confirm", faces: membersOf(state, group) }], `${titleOf(state, group)} is ${name} now.`);
    return true;
  }
  const faces = counted(membersOf(state, other).length, "face");
  if ((await ask(`Another group is named ${name} (${faces}). One name is one person: join both groups?`, ["Join them"])) === null) return false;
  return carryOut({ ...joinGroup(state, membersOf(state, group), other), names: [] }, () => `Both groups are ${name} now.`);
}

function faceRow(face, distance, words, ...buttons) {
  const note = element("span", {}, element("b", {}, words), ...(distance === null ? [] : [" ", distanceNote(distance)]), element("br"), element("bdi", { className: "quiet" }));
  correctable.nameOf(face).then((name) => { note.lastElementChild.textContent = name; }, () => {});
  return element("li", {}, element("span", { className: "thumb" }, correctable.thumb(face)), note, element("span", { className: "answers" }, ...buttons));
}

const groupWords = (state, group) => (isAlone(state, group) && !state.names.has(group)
  ? "A face alone" : `${titleOf(state, group)}, ${counted(membersOf(state, group).length, "face")}`);

// The dialog in which one group is chosen; `take` gets it.
function chooseGroup(title, faces, take) {
  const mostChoices = 40;
  const list = element("ul", { className: "choices" });
  const input = element("input", { autocomplete: "off", spellcheck: false });
  const own = new Set(faces.map((face) => groupOfFace(work.state, face)));
  const from = own.size === 1 ? [...own][0] : null; // faces of several groups can all go to one of these
  let nearest = [];
  const show = () => {
    const { state } = work, wanted = input.value.trim().toLowerCase();
    const number = /^\d+$/.test(wanted) ? Number(wanted) - 1 : -1;
    const fits = (group) => membersOf(state, group).length > 0 && group !== from && !isHidden(state, group) &&
      (!wanted || group === number || titleOf(state, group).toLowerCase().includes(wanted));
    const near = new Map(nearest.map(({ face, distance }) => [groupOfFace(state, face), { face, distance }]));
    const candidates = function* () {
      if (number >= 0 && number < state.base.groups) yield number;
      yield* near.keys();
      yield* state.names.keys();
      yield* blocksIn(state);
    };
    const offered = new Map();
    for (const group of candidates()) {
      if (offered.size >= mostChoices) break;
      if (!offered.has(group) && fits(group)) offered.set(group, near.get(group) ?? { face: membersOf(state, group)[0], distance: null });
    }
    list.replaceChildren(...[...offered].map(([group, { face, distance }]) =>
      faceRow(face, distance, groupWords(state, group), button("Choose", () => {
        correctDialog.close();
        take(group);
      }, { ariaLabel: `Choose ${groupWords(state, group)}` }))));
    if (!offered.size) list.append(element("li", { className: "quiet" }, "No such group."));
  };
  input.addEventListener("input", show);
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== "ArrowDown") return;
    event.preventDefault(); // the key is not for what has the focus next
    const first = list.querySelector("button");
    if (event.key === "Enter") first?.click();
    else first?.focus();
  });
  show();
  nearGroups(work.state, faces, 12).then((found) => {
    nearest = found;
    show();
  }, () => {});
  openCorrectDialog(title, element("label", { className: "small quiet" }, "Name or number", input), list);
  focusIn(input);
}

// The faces near a group that may be the same person, to accept or to refuse.
function alsoThisPerson(group) {
  const list = element("ul", { className: "choices", id: "also" });
  const show = async () => {
    const { state } = work;
    const near = await nearGroups(state, membersOf(state, group), Infinity).catch(() => []);
    const others = near.filter(({ face }) => !(state.names.has(group) && state.names.has(groupOfFace(state, face)))); // other people
    const found = others.slice(0, 8);
    if (state !== work.state) return; // the answer to an earlier question
    list.replaceChildren(...found.map((near) => {
      const { face, distance } = near, from = groupOfFace(state, face), size = membersOf(state, from).length;
      const then = (done) => done && showAgain();
      const yes = button("Yes", () => moveTo([face], group).then(then), { ariaLabel: "Yes, it is the same person" });
      const all = button(`Yes, all ${size.toLocaleString("en")}`, () => moveTo(membersOf(state, from), group).then(then));
      const no = button("No", () => {
        commit(refusalSteps(state, near), `${groupWords(state, from)}: not ${titleOf(state, group)}.`);
        showAgain();
      }, { ariaLabel: "No, it is another person" });
      return faceRow(face, distance, groupWords(state, from), ...(size > 1 ? [yes, all, no] : [yes, no]));
    }));
    if (!found.length) list.append(element("li", { className: "quiet" }, "No other face is near."));
  };
  const showAgain = () => show().then(() => (list.querySelector("button") ?? document.getElementById("correct-dialog-close")).focus());
  show();
  return [element("h3", {}, "Also this person?"), list];
}

function openGroupDialog(group) {
  const { state } = work;
  const trouble = element("p", { className: "small bad-words", role: "alert" });
  const names = element("datalist", { id: "known-names" }, ...[...new Set(state.names.values())].sort().map((value) => element("option", { value })));
  const input = element("input", { id: "person-name", value: state.names.get(group) ?? "", autocomplete: "off", maxLength: 2 * mostNameCharacters });
  input.setAttribute("list", "known-names");
  const form = element("form", { className: "search" }, element("label", {}, "Name", input), element("button", {}, "Save name"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      if (await setName(group, input.value)) correctDialog.close();
    } catch (error) {
      trouble.textContent = `This is no name: ${error.message}.`;
    }
  });
  const faces = membersOf(state, group), hidden = isHidden(state, group), title = titleOf(state, group);
  const suggested = faces.filter((face) => isSuggested(state, face));
  const tools = element("p", { className: "dialog-tools" },
    ...(suggested.length ? [button(`Confirm ${counted(suggested.length, "suggestion")}`, () => {
      correctDialog.close();
      commit([{ do: "confirm", faces: suggested }], `${counted(suggested.length, "face")} confirmed: ${title}.`);
    })] : []),
    button("Join to another group", () => chooseGroup(`Join ${title} to`, faces, (to) => moveTo(faces, to))),
    button("Choose all its faces", () => {
      correctDialog.close();
      setChosen(faces, true);
    }),
    button(hidden ? "Show it again" : "Hide it", () => {
      correctDialog.close();
      commit([{ do: hidden ? "show" : "hide", faces }], `${title} ${hidden ? "is shown again" : "hidden"}.`);
    }));
  openCorrectDialog(title, form, names, trouble, tools, ...alsoThisPerson(group));
  focusIn(input);
}

document.getElementById("correct-dialog-close")?.addEventListener("click", () => correctDialog.close());
