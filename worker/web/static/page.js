"use strict";
// The pages work without this. It makes them nicer: files are dropped, numbers are live, filters apply at once.

for (const zone of document.querySelectorAll("[data-drop]")) {
  const input = zone.querySelector("input[type=file]");
  const over = on => event => { event.preventDefault(); zone.classList.toggle("over", on); };
  zone.addEventListener("dragenter", over(true));
  zone.addEventListener("dragover", over(true));
  zone.addEventListener("dragleave", over(false));
  zone.addEventListener("drop", event => {
    over(false)(event);
    if (event.dataTransfer.files.length === 1) {
      input.files = event.dataTransfer.files;
      zone.requestSubmit();
    }
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
  let spoken = 0;
  const show = facts => {
    for (const place of document.querySelectorAll("[data-fact]")) {
      const text = facts[place.dataset.fact];
      if (text === undefined) continue;
      if (place.tagName === "PROGRESS") place.value = text;
      else if (place.textContent !== text) place.textContent = text;
      place.closest("[data-hide-empty]")?.toggleAttribute("hidden", text === "");
    }
    // A screen reader hears a sentence now and then, not every number.
    if (status && Date.now() - spoken > 10000) {
      status.textContent = [facts.sentence, facts.waits].filter(Boolean).join(" ");
      spoken = Date.now();
    }
  };
  source.addEventListener("facts", event => show(JSON.parse(event.data)));
  source.addEventListener("over", event => { source.close(); location.replace(event.data); });
  // Signed out, removed, or with another role: the page itself says so.
  source.addEventListener("reload", () => { source.close(); location.reload(); });
}
