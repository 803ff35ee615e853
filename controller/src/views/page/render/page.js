
"use strict";
// The server renders. This script only replaces elements. Without JavaScript, the page reloads every few seconds.
(() => {
  const main = document.querySelector("main");
  const live = document.getElementById("live");
  let source = null;
  let retry = 0;

  const parse = (html) => new DOMParser().parseFromString(html, "text/html").body;

  // Restores the focus of a link whose element was replaced.
  function change(how) {
    const link = main.contains(document.activeElement) && document.activeElement.getAttribute("href");
    how();
    if (link && !main.contains(document.activeElement)) {
      const again = [...main.querySelectorAll("a")].find((a) => a.getAttribute("href") === link);
      if (again) again.focus({ preventScroll: true });
    }
    ages();
  }

  function open() {
    clearTimeout(retry);
    if (source) source.close();
    source = new EventSource(location.href);
    source.onopen = () => { live.textContent = "live"; };
    source.addEventListener("page", (event) => change(() => {
      main.replaceChildren(...parse(event.data).childNodes);
    }));
    source.addEventListener("sections", (event) => change(() => {
      for (const next of [...parse(event.data).children]) {
        const now = document.getElementById(next.id);
        if (now) now.replaceWith(next);
      }
    }));
    source.onerror = () => {
      live.textContent = "disconnected, retrying";
      // Browsers reconnect by themselves when a connection breaks, but not after a response such as 503.
      if (source.readyState === EventSource.CLOSED) retry = setTimeout(open, 3000);
    };
  }

  function close() {
    clearTimeout(retry);
    if (source) source.close();
    source = null;
    live.textContent = "paused";
  }

  function ages() {
    for (const time of document.querySelectorAll("dd time")) {
      const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(time.dateTime)) / 1000));
      const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
      if (!time.dataset.text) time.dataset.text = time.textContent;
      const age = h > 48 ? `${Math.floor(h / 24)} d` : h > 0 ? `${h} h ${m} min` : m > 0 ? `${m} min ${s} s` : `${s} s`;
      const text = `${time.dataset.text} (${age})`;
      if (time.textContent !== text) time.textContent = text;
    }
  }

  // A hidden page holds no connection: the server limits their number, and a browser opens six per host.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  setInterval(ages, 1000);
  ages();
  if (!document.hidden) open();
})();
