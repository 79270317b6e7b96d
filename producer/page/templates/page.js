// Keeps the tables up to date without a reload. Whatever did not change stays: focus, selection, opened lists of files.
{
  const live = document.getElementById("live");
  const connection = document.getElementById("connection");
  const news = document.getElementById("news");
  const retryMs = 5000;
  let edition = document.body.dataset.edition;

  const say = (where, text) => { if (where.textContent !== text) where.textContent = text; };
  const states = (root) => new Map([...root.querySelectorAll("tr[data-state]")].map((row) => [row.id, row.dataset.state]));

  function takeAttributes(old, fresh) {
    for (const { name, value } of [...fresh.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }

  // Elements with an id are found again wherever they have gone, others by their place.
  function takeChildren(old, fresh) {
    const known = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
    const wanted = new Set([...fresh.children].map((child) => child.id));
    let place = old.firstChild;
    const dropPlace = () => { const next = place.nextSibling; place.remove(); place = next; };
    for (const child of [...fresh.childNodes]) {
      const isLike = place && place.nodeName === child.nodeName && !place.id && !child.id;
      const match = child.id ? known.get(child.id) : isLike ? place : undefined;
      if (child.id && match) while (place && place !== match && !(place.id && wanted.has(place.id))) dropPlace();
      if (!match) { old.insertBefore(child, place); continue; }
      if (match === place) place = place.nextSibling;
      else old.insertBefore(match, place);
      if (match.nodeType !== Node.ELEMENT_NODE) say(match, child.textContent);
      else if (!match.isEqualNode(child)) { takeAttributes(match, child); takeChildren(match, child); }
    }
    while (place) dropPlace();
  }

  function show(html) {
    const fresh = new DOMParser().parseFromString(`<main>${html}</main>`, "text/html").querySelector("main");
    const before = states(live);
    const focused = document.activeElement;
    takeChildren(live, fresh);
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true }); // its row was moved
    const ended = [...states(live)].filter(([id, state]) => state === "finished" && before.has(id) && before.get(id) !== state);
    if (ended.length) say(news, `Finished: ${ended.map(([id]) => id.replace("job-", "")).join(", ")}`);
  }

  function watch() {
    // Not a relative address: the page's own one may contain the password, which no script may ask with.
    const address = new URL("/events", location.origin);
    address.searchParams.set("seen", edition);
    const source = new EventSource(address);
    source.onopen = () => { document.body.classList.remove("away"); say(connection, "This page updates itself."); };
    source.onmessage = (event) => { edition = ""; show(JSON.parse(event.data)); };
    source.onerror = () => {
      document.body.classList.add("away");
      say(connection, "The page's server does not answer. Trying again.");
      if (source.readyState === EventSource.CLOSED) setTimeout(watch, retryMs);
    };
  }
  if (edition !== undefined) watch();
}
