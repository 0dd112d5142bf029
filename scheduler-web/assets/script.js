// What the pages can do besides, where scripts run: they keep up to date, and have keys. Everything works without.
(function () {
  "use strict";
  const every = 5000;
  const follow = document.getElementById("follow");
  document.querySelectorAll(".scripted").forEach((it) => { it.hidden = false; });

  // Each time says itself in the zone of who looks.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  function local(root) {
    root.querySelectorAll("time[datetime]").forEach((it) => {
      const at = new Date(it.dateTime);
      if (!isNaN(at)) it.title = it.dateTime + "\n" + at.toLocaleString() + " " + zone;
    });
  }
  local(document);

  // A part that is in use is left alone: with the focus, an open detail, a tick, or selected text in it.
  function inUse(part) {
    const selection = document.getSelection();
    return part.contains(document.activeElement) || part.querySelector("details[open], input:checked") ||
      (selection && !selection.isCollapsed && part.contains(selection.anchorNode));
  }

  let reading = null, begun = 0, planned = 0, sent = -Infinity;
  async function read() {
    if (document.hidden || !follow.checked || Date.now() - sent < 2 * every) return;
    if (reading) return soon();
    reading = new AbortController();
    begun = Date.now();
    try {
      const { signal } = reading;
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "error", signal });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.querySelectorAll("[data-live][id]").forEach((part) => {
        const other = page.getElementById(part.id);
        if (other && !inUse(part) && part.innerHTML !== other.innerHTML) {
          part.replaceChildren(...Array.from(other.childNodes, (node) => document.importNode(node, true)));
          local(part);
        }
      });
    } catch (_) {
      // The next one may reach it.
    } finally {
      reading = null;
    }
  }
  // Who has sent a form is about to see another page. What this one is of may be removed by it, and cannot be read then.
  addEventListener("submit", () => {
    sent = Date.now();
    if (reading) reading.abort();
  });

  // What this node knows to have changed is read at once, though once a second at most; what others do, every five.
  function soon() {
    if (planned) return;
    planned = setTimeout(() => { planned = 0; read(); }, Math.max(0, begun + 1000 - Date.now()));
  }
  let stream = null;
  function listen(isSeen) {
    const wanted = document.body.dataset.changes && isSeen && follow.checked;
    // One that was refused does not come back by itself.
    if (stream && (!wanted || stream.readyState === EventSource.CLOSED)) {
      stream.close();
      stream = null;
    }
    if (wanted && !stream) {
      stream = new EventSource(document.body.dataset.changes);
      stream.addEventListener("open", soon);
      stream.addEventListener("change", soon);
    }
  }
  // A browser has few connections to a server, so that only what is seen holds one.
  function look() { listen(!document.hidden); read(); }
  setInterval(look, every);
  document.addEventListener("visibilitychange", look);
  follow.addEventListener("change", look);
  addEventListener("pagehide", () => listen(false));
  addEventListener("pageshow", () => { sent = -Infinity; listen(!document.hidden); });

  document.addEventListener("keydown", (event) => {
    const target = event.target;
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName)) return;
    if (event.key === "/") {
      const search = document.getElementById("search");
      if (search) {
        event.preventDefault();
        search.focus();
      } else {
        location.assign("?page=jobs");
      }
    } else if (event.key === "?") {
      document.querySelector("footer").scrollIntoView();
    }
  });
})();
