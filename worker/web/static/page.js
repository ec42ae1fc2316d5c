"use strict";
// The pages work without this. It makes them nicer: files are dropped, numbers are live, filters apply at once,
// times are in the reader's zone, and commands can be copied.

const zoned = new Intl.DateTimeFormat("en", {
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
  timeZoneName: "short",
});
for (const place of document.querySelectorAll("time")) {
  const utc = place.textContent;
  if (!utc.endsWith(" UTC")) continue;
  const part = Object.fromEntries(zoned.formatToParts(new Date(place.dateTime)).map(one => [one.type, one.value]));
  place.title = utc;
  place.textContent = `${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute} ${part.timeZoneName}`;
}

const copies = (place, name, label, text) => {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = name;
  if (label) button.setAttribute("aria-label", label);
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  });
  place.after(" ", button);
};
if (navigator.clipboard) {
  for (const code of document.querySelectorAll(".command code")) {
    copies(code, "Copy", `Copy ${code.textContent}`, code.textContent);
  }
  for (const place of document.querySelectorAll("[data-copy-address]")) {
    copies(place, "Copy the address", "", location.origin + location.pathname);
  }
}

for (const zone of document.querySelectorAll("[data-drop]")) {
  const input = zone.querySelector("input[type=file]");
  // Said before hours of uploading, and before a server hangs up in the middle of them.
  const check = files => {
    const most = Number(zone.dataset.most), large = [...files].some(file => file.size > most);
    input.setCustomValidity(files.length > 1 ? "Choose one file at a time." : large ? zone.dataset.large : "");
    return input.reportValidity();
  };
  input.addEventListener("change", () => check(input.files));
  const over = on => event => { event.preventDefault(); zone.classList.toggle("over", on); };
  zone.addEventListener("dragenter", over(true));
  zone.addEventListener("dragover", over(true));
  zone.addEventListener("dragleave", over(false));
  zone.addEventListener("drop", event => {
    over(false)(event);
    input.files = event.dataTransfer.files;
    if (check(input.files)) zone.requestSubmit();
  });
  // The button says what happens to a large file, and a second click does not send it twice.
  zone.addEventListener("submit", () => {
    const button = zone.querySelector("button");
    button.textContent = "Uploading…";
    button.disabled = true;
  });
}

for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", () => {
    for (const button of form.querySelectorAll("button")) setTimeout(() => { button.disabled = true; });
  });
}
addEventListener("pageshow", event => { if (event.persisted) location.reload(); });

for (const control of document.querySelectorAll("[data-apply]")) {
  control.addEventListener("change", () => control.form.requestSubmit());
}

const live = document.querySelector("[data-events]");
if (live) {
  const source = new EventSource(live.dataset.events);
  const status = live.querySelector("[role=status]");
  const title = document.title;
  let spoken = 0, lost = 0;
  const show = facts => {
    for (const place of document.querySelectorAll("[data-fact]")) {
      const text = facts[place.dataset.fact];
      if (text === undefined) continue;
      if (place.tagName === "PROGRESS") place.value = text;
      else if (place.textContent !== text) place.textContent = text;
      place.closest("[data-hide-empty]")?.toggleAttribute("hidden", text === "");
    }
    if (facts.rows) document.title = `${Math.floor(100 * facts.settled / facts.rows)}% ${title}`;
    // A screen reader hears a sentence now and then, not every number.
    if (status && Date.now() - spoken > 10000) {
      status.textContent = [facts.sentence, facts.waits].filter(Boolean).join(" ");
      spoken = Date.now();
    }
  };
  // Every stream ends after a while, and the browser asks again; only a longer silence is worth a word.
  const notice = document.createElement("p");
  notice.className = "note warn";
  notice.setAttribute("role", "alert");
  source.addEventListener("open", () => {
    clearTimeout(lost);
    lost = 0;
    notice.remove();
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
    else lost ||= setTimeout(() => {
      notice.textContent = "The connection to the server is interrupted. This page keeps trying, and nothing is lost: a running job continues.";
      live.before(notice);
    }, 8000);
  });
  source.addEventListener("facts", event => show(JSON.parse(event.data)));
  source.addEventListener("over", event => { source.close(); location.replace(event.data); });
  // Signed out, removed, or with another role: the page itself says so.
  source.addEventListener("reload", () => { source.close(); location.reload(); });
}
