// Corrections of another report of the same job: after an update, or with another threshold, a page has other faces and groups,
// and does not know the steps of the one before. So the browser also keeps what people.csv would have.
const keptFile = (key) => `${key}:file`;
const jobPrefix = () => data.people.key.slice(0, data.people.key.lastIndexOf(":") + 1);
let keepingFile; // the timer that waits until the reader pauses

function keepFile() {
  clearTimeout(keepingFile);
  keepingFile = setTimeout(async () => {
    const { state } = work, any = work.done.length > 0;
    const text = any ? await peopleText(state).catch(() => null) : null;
    if (state !== work.state) return;
    try {
      if (text) localStorage.setItem(keptFile(data.people.key), text);
      else localStorage.removeItem(keptFile(data.people.key));
    } catch { /* the steps are kept, or it was said that they are not */ }
  }, 300);
}

// The key of another report's corrections; undefined if there are none.
function earlierKey() {
  try {
    return Object.keys(localStorage).find((key) => key.startsWith(jobPrefix()) && key.endsWith(":file") && key !== keptFile(data.people.key));
  } catch { return undefined; /* a browser may refuse storage to files */ }
}

function forgetEarlier(key) {
  localStorage.removeItem(key);
  localStorage.removeItem(key.slice(0, -":file".length));
}

// Asks what to do with them, in `place`.
function offerEarlier(place) {
  const key = earlierKey();
  if (!key || work.done.length) return;
  const take = button("Take them over", async () => {
    const text = localStorage.getItem(key) ?? "";
    place.replaceChildren();
    setCorrecting(true);
    if (await loadPeople(new File([text], "Corrections of another report"))) forgetEarlier(key);
  });
  const forget = button("Forget them", () => {
    forgetEarlier(key);
    place.replaceChildren();
  });
  place.replaceChildren("This browser has corrections of another report of this job. ", take, " ", forget);
}
